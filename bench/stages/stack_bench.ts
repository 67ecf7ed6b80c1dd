/**
 * The userspace stack: IP input and output, and TCP at both ends. The plain way is the same stack with
 * packets of the MSS in the place of segments of 64 KB.
 */
import { StackScene } from "../stack_scene.ts";
import { TcpPair } from "../tcp_pair.ts";
import { stage } from "./stage.ts";

const CALLS = 100;
const STREAM_BYTES = 4 << 20;

const scene = new StackScene();
scene.placeTcp(4);
stage("IP input", () => {
  for (let i = 0; i < CALLS; i++) scene.takePackets();
}, () => {
  for (let i = 0; i < CALLS; i++) scene.takeRun();
});

const path = scene.path(4);
stage("IP output", () => {
  for (let i = 0; i < CALLS; i++) scene.sendPackets(path);
}, () => {
  for (let i = 0; i < CALLS; i++) scene.sendRun(path);
});

const packetsOnly = new TcpPair(false, false);
const segments = new TcpPair(true, true);
stage(
  "TCP, both ends",
  () => packetsOnly.stream(STREAM_BYTES),
  () => segments.stream(STREAM_BYTES),
);
