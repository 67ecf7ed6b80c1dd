/**
 * The C structures that this program shares with the kernel and the C library: offsets and sizes in
 * bytes, each written once beside its definition. Valid for x86-64 and arm64, both 64-bit and
 * little-endian; the one structure that differs (`epoll_event`) asks `Deno.build.arch`.
 * `tests/ffi/layout_test.ts` compares every number with the C headers of both.
 */

/** struct iovec { void *iov_base; size_t iov_len; } */
export const Iovec = { base: 0, length: 8, bytes: 16 } as const;

/**
 * struct msghdr { void *msg_name; socklen_t msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
 *                 void *msg_control; size_t msg_controllen; int msg_flags; }
 */
export const Msghdr = {
  name: 0,
  namelen: 8,
  iov: 16,
  iovlen: 24,
  control: 32,
  controllen: 40,
  flags: 48,
  bytes: 56,
} as const;

/** struct cmsghdr { size_t cmsg_len; int cmsg_level; int cmsg_type; }, data behind it. */
export const Cmsghdr = { length: 0, level: 8, type: 12, data: 16, bytes: 16 } as const;

/** CMSG_SPACE(n): what a control message with `n` bytes of data takes, padding included. */
export function cmsgSpace(dataBytes: number): number {
  return Cmsghdr.data + ((dataBytes + 7) & ~7);
}

/** struct in_pktinfo { int ipi_ifindex; struct in_addr ipi_spec_dst; struct in_addr ipi_addr; } */
export const InPktinfo = { ifindex: 0, specDst: 4, addr: 8, bytes: 12 } as const;

/** struct in6_pktinfo { struct in6_addr ipi6_addr; unsigned int ipi6_ifindex; } */
export const In6Pktinfo = { addr: 0, ifindex: 16, bytes: 20 } as const;

/** struct sockaddr_in { sa_family_t; in_port_t (BE); struct in_addr; unsigned char zero[8]; } */
export const SockaddrIn = { family: 0, port: 2, addr: 4, bytes: 16 } as const;

/**
 * struct sockaddr_in6 { sa_family_t; in_port_t (BE); uint32_t sin6_flowinfo; struct in6_addr;
 *                       uint32_t sin6_scope_id; }
 */
export const SockaddrIn6 = {
  family: 0,
  port: 2,
  flowinfo: 4,
  addr: 8,
  scopeId: 24,
  bytes: 28,
} as const;

/**
 * struct sock_extended_err { __u32 ee_errno; __u8 ee_origin, ee_type, ee_code, ee_pad; __u32 ee_info;
 *                            __u32 ee_data; }, the sender's address behind it (linux/errqueue.h)
 */
export const SockExtendedErr = {
  errno: 0,
  origin: 4,
  type: 5,
  code: 6,
  info: 8,
  bytes: 16,
} as const;

/** struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; } */
export const SockaddrUn = { family: 0, path: 2, pathBytes: 108, bytes: 110 } as const;

/**
 * struct epoll_event { uint32_t events; epoll_data_t data; }: EPOLL_PACKED on x86-64 only
 * (include/uapi/linux/eventpoll.h).
 */
export const EpollEventByArch = {
  x86_64: { events: 0, data: 4, bytes: 12 },
  aarch64: { events: 0, data: 8, bytes: 16 },
} as const;
export const EpollEvent = EpollEventByArch[Deno.build.arch];

/** struct pollfd { int fd; short events; short revents; } */
export const Pollfd = { fd: 0, events: 4, revents: 6, bytes: 8 } as const;

/** struct timespec { time_t tv_sec; long tv_nsec; } */
export const Timespec = { sec: 0, nsec: 8, bytes: 16 } as const;

/** struct itimerspec { struct timespec it_interval; struct timespec it_value; } */
export const Itimerspec = { interval: 0, value: 16, bytes: 32 } as const;

/** struct ifreq { char ifr_name[IFNAMSIZ]; union { short ifr_flags; int ifr_mtu; ... }; } */
export const Ifreq = { name: 0, nameBytes: 16, value: 16, bytes: 40 } as const;

/**
 * struct virtio_net_hdr { __u8 flags; __u8 gso_type; __u16 hdr_len; __u16 gso_size;
 *                         __u16 csum_start; __u16 csum_offset; } (include/uapi/linux/virtio_net.h)
 */
export const VirtioNetHdr = {
  flags: 0,
  gsoType: 1,
  hdrLen: 2,
  gsoSize: 4,
  csumStart: 6,
  csumOffset: 8,
  bytes: 10,
} as const;

/**
 * struct statx (include/uapi/linux/stat.h), the fields that are read: __u32 stx_uid, __u32 stx_gid,
 * __u16 stx_mode, __u64 stx_ino, __u64 stx_size, stx_mtime { __s64 tv_sec; __u32 tv_nsec; },
 * __u32 stx_dev_major, __u32 stx_dev_minor.
 */
export const Statx = {
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  mtimeSec: 112,
  mtimeNsec: 120,
  devMajor: 136,
  devMinor: 140,
  bytes: 256,
} as const;

/** struct dirent { ino_t; off_t; unsigned short d_reclen; unsigned char d_type; char d_name[]; } */
export const Dirent = { type: 18, name: 19 } as const;

/** struct passwd { char *pw_name; char *pw_passwd; uid_t; gid_t; char *pw_gecos; char *pw_dir; } */
export const Passwd = { dir: 32 } as const;

/**
 * struct addrinfo { int ai_flags, ai_family, ai_socktype, ai_protocol; socklen_t ai_addrlen;
 *                   struct sockaddr *ai_addr; char *ai_canonname; struct addrinfo *ai_next; }
 */
export const Addrinfo = {
  flags: 0,
  family: 4,
  socktype: 8,
  protocol: 12,
  addrlen: 16,
  addr: 24,
  next: 40,
  bytes: 48,
} as const;

/** struct ucred { pid_t pid; uid_t uid; gid_t gid; } */
export const Ucred = { pid: 0, uid: 4, gid: 8, bytes: 12 } as const;

/** struct rlimit { rlim_t rlim_cur; rlim_t rlim_max; } */
export const Rlimit = { soft: 0, hard: 8, bytes: 16 } as const;

/** struct sock_filter { __u16 code; __u8 jt; __u8 jf; __u32 k; } */
export const SockFilter = { code: 0, jt: 2, jf: 3, k: 4, bytes: 8 } as const;

/** struct sock_fprog { unsigned short len; struct sock_filter *filter; } */
export const SockFprog = { length: 0, filter: 8, bytes: 16 } as const;

/** Opaque types of the C library (bits/sigset.h, spawn.h): sizes only. */
export const OpaqueBytes = {
  sigset: 128,
  posixSpawnattr: 336,
  posixSpawnFileActions: 80,
} as const;
