import { assert, assertEquals, assertThrows } from "@std/assert";
import { pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { AF_INET } from "../../ffi/socket.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { closeUdpSockets, openUdpSockets, UdpSocketPair } from "../../ffi/udp.ts";
import { canSteerUdp, openUdpGroup, probeUdpOffload } from "../../ffi/udp_group.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";
import { CAPACITY, FAMILIES, Place, UdpFixture } from "./udp_fixture.ts";

Deno.test("probeUdpOffload() finds exactly what the kernel takes", () => {
  const { segmentsMax, gro } = probeUdpOffload();
  assert(segmentsMax === 64 || segmentsMax === 128);
  using fixture = new UdpFixture();
  assertEquals(gro, fixture.socketsA.gro);
  fixture.towardsB(AF_INET);
  assertEquals(
    fixture.a.send(Place.sent, segmentsMax * 10, 10, Place.endpointA, 0),
    segmentsMax * 10,
  );
  const over = (segmentsMax + 1) * 10;
  assertEquals(fixture.a.send(Place.sent, over, 10, Place.endpointA, 0), -Errno.EINVAL);
});

Deno.test({
  name: "probeUdpOffload() assumes 64 segments where loopback was never up",
  ...requires("root", "unshare"),
  fn() {
    const script = `
      import { probeUdpOffload } from ${
      JSON.stringify(new URL("../../ffi/udp_group.ts", import.meta.url).href)
    };
      console.log(probeUdpOffload().segmentsMax);
    `;
    const args = ["--net", Deno.execPath(), "eval", script];
    const output = new Deno.Command("unshare", { args }).outputSync();
    assertEquals(new TextDecoder().decode(output.stdout), "64\n");
  },
});

for (const { family, name, loopback } of FAMILIES) {
  Deno.test(`${name}: data messages go to the lane that their receiver index names`, () => {
    using fixture = new UdpFixture();
    const { memory } = fixture;
    const lanes = openUdpGroup({ port: 0, bufferBytes: 1 << 18 }, 4);
    const [first] = lanes;
    const pairs = lanes.map((sockets, i) => new UdpSocketPair(memory, 150_000 + 512 * i, sockets));
    fixture.setEndpoint(Place.endpointA, loopback, first.port);

    const laneOf = (): number => {
      for (let lane = 0; lane < lanes.length; lane++) {
        const fd = family === AF_INET ? lanes[lane].v4 : lanes[lane].v6;
        if (pollFd(fd, POLLIN, 0) === 0) continue;
        const n = pairs[lane].receive(family, Place.received, CAPACITY, Place.endpointB);
        assert(n >= 0);
        return lane;
      }
      return -1;
    };
    for (let index = 0; index < 64; index++) {
      memory.u8.fill(0, Place.sent, Place.sent + 32);
      memory.u8[Place.sent] = 4;
      memory.view.setUint32(Place.sent + 4, index * 0x01020301, true);
      fixture.a.send(Place.sent, 32, 32, Place.endpointA, 0);
      assertEquals(laneOf(), (index * 0x01020301) & 3);
      // A handshake with the same bytes goes to the first lane.
      memory.u8[Place.sent] = 1 + index % 3;
      fixture.a.send(Place.sent, 148, 148, Place.endpointA, 0);
      assertEquals(laneOf(), 0);
    }
    // A run of segments is steered as one.
    memory.u8[Place.sent] = 4;
    memory.view.setUint32(Place.sent + 4, 2, true);
    fixture.a.send(Place.sent, 10_000, 1000, Place.endpointA, 0);
    assertEquals(laneOf(), 2);
    assertEquals(pairs[2].segmentBytes, 1000);
    // Too short for an index: dropped or given to a lane, never an error for the sender.
    assertEquals(fixture.a.send(Place.sent, 2, 2, Place.endpointA, 0), 2);
    for (const sockets of lanes) closeUdpSockets(sockets);
  });
}

Deno.test("hazard 25: a port that lanes share is closed to a second instance", () => {
  const lanes = openUdpGroup({ port: 0, bufferBytes: 65_536 }, 2);
  const options = { port: lanes[0].port, bufferBytes: 65_536 };
  try {
    for (const attempt of [() => openUdpSockets(options), () => openUdpGroup(options, 2)]) {
      const error = assertThrows(attempt, SystemCallError);
      assertEquals(error.errno, Errno.EADDRINUSE);
    }
  } finally {
    lanes.forEach(closeUdpSockets);
  }
  openUdpGroup(options, 3).forEach(closeUdpSockets);
});

Deno.test("three lanes share a port, and this kernel steers among them", () => {
  const lanes = openUdpGroup({ port: 0, bufferBytes: 65_536 }, 3);
  assertEquals(lanes.map(({ port }) => port), Array(3).fill(lanes[0].port));
  lanes.forEach(closeUdpSockets);
  assert(canSteerUdp());
});
