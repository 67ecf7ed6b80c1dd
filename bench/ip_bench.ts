/**
 * The netstack's IP layer without TCP: a merged run of 64 KB on its way in, the same bytes packet by
 * packet, a super-segment on its way out and the same as single packets, UDP echoes, reassembly.
 * `deno bench -A bench/ip_bench.ts`
 */
import { address, icmp4, ip4, PEER4, udp, udpPacket } from "../tests/netstack/packets.ts";
import { StackScene } from "./stack_scene.ts";

const CALLS = 1000;
const scene = new StackScene();
const { link, stack } = scene;

for (const version of [4, 6] as const) {
  const group = `64 KB in, IPv${version}`;
  Deno.bench("one merged run", { group }, (b) => {
    scene.placeTcp(version);
    b.start();
    for (let i = 0; i < CALLS; i++) scene.takeRun();
    b.end();
  });
  Deno.bench("packet by packet", { group, baseline: true }, (b) => {
    scene.placeTcp(version);
    b.start();
    for (let i = 0; i < CALLS; i++) scene.takePackets();
    b.end();
  });
}

for (const version of [4, 6] as const) {
  const path = scene.path(version);
  const group = `64 KB out, IPv${version}`;
  Deno.bench("one super-segment", { group }, () => {
    for (let i = 0; i < CALLS; i++) scene.sendRun(path);
  });
  Deno.bench("packets of the MTU", { group, baseline: true }, () => {
    for (let i = 0; i < CALLS; i++) scene.sendPackets(path);
  });
}

stack.udp.bind(null, 7, {
  onDatagram: (socket, datagram) => socket.reply(datagram, datagram.at, datagram.bytes),
});
stack.udp.connect(
  address(PEER4),
  9,
  { onDatagram: (socket, { at, bytes }) => socket.send(at, bytes) },
  undefined,
  9,
);
const ECHOES: Record<string, Uint8Array> = {
  "UDP, bound socket": udpPacket({ destinationPort: 7, payload: new Uint8Array(1200) }),
  "UDP, socket of a flow": udpPacket({
    sourcePort: 9,
    destinationPort: 9,
    payload: new Uint8Array(1200),
  }),
  "ICMP echo": ip4({ protocol: 1 }, icmp4(8, 0, 1, new Uint8Array(1200))),
};
for (const [name, packet] of Object.entries(ECHOES)) {
  Deno.bench(name, { group: "1,000 echoes of 1,200 bytes" }, (b) => {
    scene.place([packet]);
    b.start();
    for (let i = 0; i < CALLS; i++) {
      scene.takePackets();
      link.pop();
    }
    b.end();
  });
}

const whole = udp({ destinationPort: 8, payload: new Uint8Array(60_000) });
const fragments: Uint8Array[] = [];
for (let offset = 0; offset < whole.length; offset += 1400) {
  const hasMore = offset + 1400 < whole.length;
  const fragment = (hasMore ? 0x2000 : 0) | (offset / 8);
  fragments.push(ip4({ fragment }, whole.slice(offset, offset + 1400)));
}
stack.udp.bind(null, 8, { onDatagram: () => {} });
Deno.bench("60,000 bytes in 43 fragments", { group: "reassembly" }, (b) => {
  scene.place(fragments);
  b.start();
  scene.takePackets();
  b.end();
});
