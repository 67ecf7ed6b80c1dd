/** Every structure offset and every constant of `ffi/` against the C headers of both machines. */
import { assert, assertEquals } from "@std/assert";
import * as layout from "../../ffi/layout.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";

const HEADERS = [
  "dirent.h",
  "errno.h",
  "fcntl.h",
  "linux/errqueue.h",
  "linux/filter.h",
  "linux/if_tun.h",
  "linux/sock_diag.h",
  "linux/sockios.h",
  "linux/time_types.h",
  "linux/virtio_net.h",
  "net/if.h",
  "netdb.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "netinet/udp.h",
  "poll.h",
  "pwd.h",
  "sched.h",
  "signal.h",
  "spawn.h",
  "stddef.h",
  "sys/epoll.h",
  "sys/eventfd.h",
  "sys/inotify.h",
  "sys/ioctl.h",
  "sys/mman.h",
  "sys/prctl.h",
  "sys/resource.h",
  "sys/socket.h",
  "sys/stat.h",
  "sys/syscall.h",
  "sys/timerfd.h",
  "sys/uio.h",
  "sys/un.h",
  "sys/wait.h",
  "time.h",
  "unistd.h",
];

/** Our field, then C's, for each structure; `bytes` is its size unless it is left out. */
function layoutAssertions(arch: keyof typeof layout.EpollEventByArch): string[] {
  const assertions: string[] = [];
  const check = (
    type: string,
    ours: Record<string, number>,
    fields: Record<string, string>,
    sized = true,
  ) => {
    for (const [field, cField] of Object.entries(fields)) {
      assert(field in ours, `${type}: ${field}`);
      assertions.push(`offsetof(${type}, ${cField}) == ${ours[field]}`);
    }
    if (sized) assertions.push(`sizeof(${type}) == ${ours.bytes}`);
  };
  check("struct iovec", layout.Iovec, { base: "iov_base", length: "iov_len" });
  check("struct msghdr", layout.Msghdr, {
    name: "msg_name",
    namelen: "msg_namelen",
    iov: "msg_iov",
    iovlen: "msg_iovlen",
    control: "msg_control",
    controllen: "msg_controllen",
    flags: "msg_flags",
  });
  check("struct cmsghdr", layout.Cmsghdr, {
    length: "cmsg_len",
    level: "cmsg_level",
    type: "cmsg_type",
  });
  for (const n of [0, 1, 2, 4, 8, 12, 20]) {
    assertions.push(`CMSG_SPACE(${n}) == ${layout.cmsgSpace(n)}`);
    assertions.push(`CMSG_LEN(${n}) == ${layout.Cmsghdr.data + n}`);
  }
  check("struct sock_extended_err", layout.SockExtendedErr, {
    errno: "ee_errno",
    origin: "ee_origin",
    type: "ee_type",
    code: "ee_code",
    info: "ee_info",
  });
  check("struct in_pktinfo", layout.InPktinfo, {
    ifindex: "ipi_ifindex",
    specDst: "ipi_spec_dst",
    addr: "ipi_addr",
  });
  check("struct in6_pktinfo", layout.In6Pktinfo, { addr: "ipi6_addr", ifindex: "ipi6_ifindex" });
  check("struct sockaddr_in", layout.SockaddrIn, {
    family: "sin_family",
    port: "sin_port",
    addr: "sin_addr",
  });
  check("struct sockaddr_in6", layout.SockaddrIn6, {
    family: "sin6_family",
    port: "sin6_port",
    flowinfo: "sin6_flowinfo",
    addr: "sin6_addr",
    scopeId: "sin6_scope_id",
  });
  check("struct sockaddr_un", layout.SockaddrUn, { family: "sun_family", path: "sun_path" });
  const pathBytes = layout.SockaddrUn.pathBytes;
  assertions.push(`sizeof(((struct sockaddr_un *)0)->sun_path) == ${pathBytes}`);
  check("struct epoll_event", layout.EpollEventByArch[arch], { events: "events", data: "data" });
  check("struct pollfd", layout.Pollfd, { fd: "fd", events: "events", revents: "revents" });
  check("struct timespec", layout.Timespec, { sec: "tv_sec", nsec: "tv_nsec" });
  check("struct itimerspec", layout.Itimerspec, { interval: "it_interval", value: "it_value" });
  check("struct ifreq", layout.Ifreq, { name: "ifr_name", value: "ifr_flags" });
  check("struct ifreq", layout.Ifreq, { value: "ifr_mtu" });
  assertions.push(`IFNAMSIZ == ${layout.Ifreq.nameBytes}`);
  check("struct virtio_net_hdr", layout.VirtioNetHdr, {
    flags: "flags",
    gsoType: "gso_type",
    hdrLen: "hdr_len",
    gsoSize: "gso_size",
    csumStart: "csum_start",
    csumOffset: "csum_offset",
  });
  check("struct statx", layout.Statx, {
    uid: "stx_uid",
    gid: "stx_gid",
    mode: "stx_mode",
    ino: "stx_ino",
    size: "stx_size",
    mtimeSec: "stx_mtime.tv_sec",
    mtimeNsec: "stx_mtime.tv_nsec",
    devMajor: "stx_dev_major",
    devMinor: "stx_dev_minor",
  });
  check("struct dirent", layout.Dirent, { type: "d_type", name: "d_name" }, false);
  check("struct passwd", layout.Passwd, { dir: "pw_dir" }, false);
  check("struct addrinfo", layout.Addrinfo, {
    flags: "ai_flags",
    family: "ai_family",
    socktype: "ai_socktype",
    protocol: "ai_protocol",
    addrlen: "ai_addrlen",
    addr: "ai_addr",
    next: "ai_next",
  });
  check("struct rlimit", layout.Rlimit, { soft: "rlim_cur", hard: "rlim_max" });
  check("struct ucred", layout.Ucred, { pid: "pid", uid: "uid", gid: "gid" });
  assertions.push("SYS_pidfd_open == 434");
  check("struct sock_filter", layout.SockFilter, { code: "code", jt: "jt", jf: "jf", k: "k" });
  check("struct sock_fprog", layout.SockFprog, { length: "len", filter: "filter" });
  const opaque = layout.OpaqueBytes;
  assertions.push(`sizeof(sigset_t) == ${opaque.sigset}`);
  assertions.push(`sizeof(posix_spawnattr_t) == ${opaque.posixSpawnattr}`);
  assertions.push(`sizeof(posix_spawn_file_actions_t) == ${opaque.posixSpawnFileActions}`);
  return assertions;
}

/** Files whose constants in capitals are either C's or listed in OWN. */
const FILES = [
  "clock",
  "descriptor",
  "epoll",
  "eventfd",
  "files",
  "host_socket",
  "interface",
  "pages",
  "path_watch",
  "process",
  "resolver",
  "routed_socket",
  "socket",
  "timerfd",
  "tun",
  "udp",
  "udp_group",
  "udp_open",
  "unix_socket",
];

/** Constants of ours that no header defines. */
const OWN = new Set([
  "BACKLOG",
  "BPF_ALU_AND_K",
  "BPF_JMP_JEQ_K",
  "BPF_LD_B_ABS",
  "BPF_RET_A",
  "BPF_RET_K",
  "CONTROL",
  "CONTROL_BYTES",
  "EVENTS_BYTES",
  "EVENTS_MAX",
  "HEADER",
  "HOST_SOCKET_SCRATCH_BYTES",
  "IOVEC",
  "IOVECS_MAX",
  "IOVEC_BYTES",
  "LOOKUPS_MAX",
  "MEMINFO_BYTES",
  "MEMINFO_DROPS_AT",
  "MESSAGE_DATA",
  "MESSAGE_RECEIVER_AT",
  "NOW",
  "OPEN_FILES_USUAL",
  "OWNER_ONLY",
  "PAGE_BYTES",
  "PORT_TRIES",
  "PROBE_PORT",
  "QUOTE",
  "QUOTE_BYTES",
  "READ_CHUNK_BYTES",
  "READ_CONTROL",
  "READ_CONTROL_BYTES",
  "READ_HEADER",
  "READ_IOVEC",
  "RECEIVE_CONTROL",
  "RECEIVE_HEADER",
  "RECEIVE_IOVEC",
  "SEGMENTS_EVERYWHERE",
  "SEGMENTS_WANTED",
  "SEGMENT_DATA_BYTES",
  "SEND_CONTROL",
  "SEND_HEADER",
  "SEND_IOVEC",
  "UDP_SCRATCH_BYTES",
  "WRITE_CONTROL",
  "WRITE_HEADER",
  "WRITE_IOVECS",
  "WORD_RANGE",
]);

/** Constants that headers older than the kernel's own lack, with what they are computed from. */
const NEWER: Record<string, string> = { TUN_F_USO4: "0x20", TUN_F_USO6: "0x40" };

/** Constants written with another name than C's. */
const COMPUTED: Record<string, string> = {
  BPF_LD_B_ABS: "BPF_LD | BPF_B | BPF_ABS",
  BPF_JMP_JEQ_K: "BPF_JMP | BPF_JEQ | BPF_K",
  BPF_ALU_AND_K: "BPF_ALU | BPF_AND | BPF_K",
  BPF_RET_K: "BPF_RET | BPF_K",
  BPF_RET_A: "BPF_RET | BPF_A",
  MEMINFO_BYTES: "SK_MEMINFO_VARS * 4",
  MEMINFO_DROPS_AT: "SK_MEMINFO_DROPS * 4",
};

function constantAssertions(): string[] {
  const assertions = Object.entries(Errno).map(([name, value]) => `${name} == ${value}`);
  for (const file of FILES) {
    const source = Deno.readTextFileSync(new URL(`../../ffi/${file}.ts`, import.meta.url));
    const constants = source.matchAll(
      /^(?:export )?const ([A-Z][A-Z0-9_]+) = (-?[0-9xoa-f_]+(?: << \d+)?);/gm,
    );
    for (const [, name, text] of constants) {
      const [base, shift] = text.replaceAll("_", "").split(" << ");
      const value = shift === undefined ? Number(base) : Number(base) << Number(shift);
      if (name in COMPUTED) assertions.push(`(${COMPUTED[name]}) == ${value}`);
      if (OWN.has(name)) continue;
      assertions.push(`(int)(${NEWER[name] ?? name}) == (int)${value}LL`);
    }
  }
  return assertions;
}

async function compile(compiler: string, assertions: string[]): Promise<string> {
  const program = [
    "#define _GNU_SOURCE",
    ...HEADERS.map((header) => `#include <${header}>`),
    ...assertions.map((text) => `_Static_assert(${text}, ${JSON.stringify(text)});`),
    "int main(void) { return 0; }",
  ].join("\n");
  const child = new Deno.Command(compiler, {
    args: ["-x", "c", "-std=gnu11", "-fsyntax-only", "-"],
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(program));
  await writer.close();
  const output = await child.output();
  return output.success ? "" : new TextDecoder().decode(output.stderr);
}

const COMPILERS = [["gcc", Deno.build.arch], ["aarch64-linux-gnu-gcc", "aarch64"]] as const;

for (const [compiler, arch] of COMPILERS) {
  Deno.test({
    name: `structures and constants are those of the headers of ${compiler}`,
    ...requires(compiler),
    async fn() {
      const constants = constantAssertions();
      assert(constants.length > 150, `${constants.length} constants were found`);
      assertEquals(await compile(compiler, [...layoutAssertions(arch), ...constants]), "");
    },
  });

  Deno.test({
    name: `a wrong offset would be noticed with ${compiler}`,
    ...requires(compiler),
    async fn() {
      const errors = await compile(compiler, ["offsetof(struct iovec, iov_len) == 4"]);
      assert(errors.includes("iov_len"), errors);
    },
  });
}
