/** What a figure was measured on. */
import { readTextFile } from "../../ffi/files.ts";
import { openLibcrypto } from "../../ffi/libcrypto.ts";
import { VERSION } from "../base/version.ts";

/** The machine and what runs on it; null where the system does not tell. */
export interface Machine {
  readonly processor: string | null;
  readonly architecture: string;
  readonly cores: number;
  readonly kernel: string | null;
  readonly deno: string;
  readonly v8: string;
  readonly openssl: string | null;
}

const BYTES_MAX = 4 << 20;

/** This machine. */
export function describeMachine(): Machine {
  const { deno, v8 } = Deno.version;
  return {
    processor: /^(?:model name|Model)\s*:\s*(.+)$/m.exec(read("/proc/cpuinfo"))?.[1] ?? null,
    architecture: Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    kernel: read("/proc/sys/kernel/osrelease").trim() || null,
    deno,
    v8,
    openssl: openLibcrypto().library?.version ?? null,
  };
}

function read(path: string): string {
  try {
    return readTextFile(path, BYTES_MAX);
  } catch {
    return "";
  }
}

/** Two lines for people. */
export function machineLines(machine: Machine): string[] {
  const { processor, architecture, cores, kernel, deno, openssl } = machine;
  const coreText = cores === 1 ? "1 core" : `${cores} cores`;
  return [
    `longhaul ${VERSION}, Deno ${deno}, ${openssl ?? "no OpenSSL"}`,
    `${processor ?? architecture}, ${coreText}, Linux ${kernel ?? "of unknown version"}`,
  ];
}
