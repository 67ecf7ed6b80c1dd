/**
 * Uses every part of `ffi/` once; `allow_ffi_test.ts` runs it with `--allow-ffi` and no other
 * permission. The first argument is a folder that it may write to. Prints "done".
 */
import { systemClock } from "../../ffi/clock.ts";
import { closeFd, openPipe, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { environmentList, getEnvironment, homeFolder, hostName } from "../../ffi/environment.ts";
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { exists, listFolder, makeFolders, readTextFile, writeFileAtomic } from "../../ffi/files.ts";
import { HostSocketSet } from "../../ffi/host_socket.ts";
import { createFfiMemory, FfiMemory } from "../../ffi/memory.ts";
import { releasePages } from "../../ffi/pages.ts";
import { PathWatch } from "../../ffi/path_watch.ts";
import { makeUndumpable, openFilesMax } from "../../ffi/process.ts";
import { systemRandom } from "../../ffi/random.ts";
import { runProgram } from "../../ffi/run_program.ts";
import { TimerFd } from "../../ffi/timerfd.ts";
import { openTun } from "../../ffi/tun.ts";
import {
  closeUdpSockets,
  openUdpSockets,
  UDP_SCRATCH_BYTES,
  UdpSocketPair,
} from "../../ffi/udp.ts";
import { probeUdpOffload } from "../../ffi/udp_group.ts";
import { acceptUnix, connectUnix, listenUnix } from "../../ffi/unix_socket.ts";
import { createSlab } from "../../src/memory/slab.ts";

const folder = `${Deno.args[0]}/inner`;
makeFolders(folder, 0o700);
writeFileAtomic(`${folder}/file`, "content", 0o600);
check(readTextFile(`${folder}/file`, 100) === "content" && exists(folder), "files");
check(getEnvironment("PATH") !== undefined && environmentList().length > 1, "environment");
check(homeFolder() !== undefined && hostName() !== "", "user and host");
systemRandom.fill(new Uint8Array(32));

const listener = listenUnix(`${folder}/sock`);
const watch = new PathWatch(`${folder}/sock`);
const client = connectUnix(`${folder}/sock`);
check(acceptUnix(listener) >= 0 && client >= 0 && !watch.isGone(), "unix socket");
check(listFolder(folder).join() === "file,sock", "folder");

const epoll = new Epoll();
const door = new EventFd();
const timer = new TimerFd();
epoll.add(door.fd, EPOLLIN, 1);
epoll.add(timer.fd, EPOLLIN, 2);
door.signal();
timer.arm(systemClock.nowMs() - 1);
check(epoll.wait(-1) === 2, "epoll");

const memory = new FfiMemory(createSlab(1 << 16));
const sockets = openUdpSockets({ port: 0, bufferBytes: 65_536 });
const udp = new UdpSocketPair(memory, 0, sockets);
check(udp.receive(2, 1024, 4096, UDP_SCRATCH_BYTES) === -11, "udp");
closeUdpSockets(sockets);
check(probeUdpOffload().segmentsMax >= 1, "udp offload");
const hostSockets = new HostSocketSet(memory, 32_768);
const hostSocket = hostSockets.connectUdp(Uint8Array.of(127, 0, 0, 1), 9, 1);
check(hostSocket >= 0 && hostSockets.poll() === 1 && openFilesMax() > 0, "host sockets");
hostSockets.close(hostSocket);
check(releasePages(memory, 0, 65_536) === 0, "pages");
try {
  closeFd(openTun({ name: "lhtest%d" }).fd);
} catch (error) {
  check(error instanceof SystemCallError && error.fix !== undefined, "tun");
}

makeUndumpable();
const result = await runProgram({
  program: "sh",
  args: ["-c", "echo out"],
  environment: environmentList(),
  timeoutMs: 5000,
});
check(result.stdout === "out\n", "process");
const pipe = openPipe();
check(pollFd(pipe.readEnd, POLLIN, 0) === 0, "poll");
check(createFfiMemory(8).u8.length === 8, "memory");
console.log("done");

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`${what} does not work`);
}
