/**
 * The C library: one table of the functions that this program calls, opened on first use.
 *
 * Conventions of everything in `ffi/`:
 * - A wrapper returns a result >= 0, or a negated errno; `checked` makes one from a raw result.
 * - Results are `i32` although C says ssize_t, and lengths are `u32` although C says size_t: no call
 *   of this program moves 2 GiB, and 64-bit results would be BigInts.
 * - A pointer is a `buffer` (a byte array of JavaScript, in calls made now and then) or a `u64`
 *   given as a *cached* BigInt (in hot calls: 5 ns, against 110 ns for a number). Where both are
 *   wanted the second form has `_at` behind its name.
 * - Variadic functions (open, fcntl, ioctl, prctl, syscall) are declared with fixed parameters: on
 *   x86-64 and on arm64 Linux integers and pointers travel in the same registers either way.
 */

const SYMBOLS = {
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
  // char *strerror(int errnum);
  strerror: { parameters: ["i32"], result: "pointer" },

  // --- descriptors ---
  // int open(const char *pathname, int flags, mode_t mode);
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  read_at: { name: "read", parameters: ["i32", "u64", "u32"], result: "i32" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  write_at: { name: "write", parameters: ["i32", "u64", "u32"], result: "i32" },
  // ssize_t readv(int fd, const struct iovec *iov, int iovcnt);
  readv_at: { name: "readv", parameters: ["i32", "u64", "i32"], result: "i32" },
  // ssize_t writev(int fd, const struct iovec *iov, int iovcnt);
  writev_at: { name: "writev", parameters: ["i32", "u64", "i32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, void *argp);
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  // int ioctl(int fd, unsigned long request, unsigned int value);
  ioctl_value: { name: "ioctl", parameters: ["i32", "u32", "u32"], result: "i32" },
  // int fcntl(int fd, int cmd, int arg);
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int pipe2(int pipefd[2], int flags);
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  // int dup2(int oldfd, int newfd);
  dup2: { parameters: ["i32", "i32"], result: "i32" },
  // int flock(int fd, int operation);
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // int isatty(int fd);
  isatty: { parameters: ["i32"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout);
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },

  // --- sockets ---
  // int socket(int domain, int type, int protocol);
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int socketpair(int domain, int type, int protocol, int sv[2]);
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen);
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int sockfd, int backlog);
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int accept4(int sockfd, struct sockaddr *addr, socklen_t *addrlen, int flags);
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  // int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen);
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int getsockname(int sockfd, struct sockaddr *addr, socklen_t *addrlen);
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int setsockopt(int sockfd, int level, int optname, const void *optval, socklen_t optlen);
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen);
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // ssize_t send(int sockfd, const void *buf, size_t len, int flags);
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  // ssize_t recv(int sockfd, void *buf, size_t len, int flags);
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  // ssize_t sendto(int, const void *buf, size_t, int, const struct sockaddr *, socklen_t);
  sendto: { parameters: ["i32", "buffer", "u32", "i32", "buffer", "u32"], result: "i32" },
  // ssize_t sendmsg(int sockfd, const struct msghdr *msg, int flags);
  sendmsg_at: { name: "sendmsg", parameters: ["i32", "u64", "i32"], result: "i32" },
  // ssize_t recvmsg(int sockfd, struct msghdr *msg, int flags);
  recvmsg_at: { name: "recvmsg", parameters: ["i32", "u64", "i32"], result: "i32" },
  // int shutdown(int sockfd, int how);
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  // unsigned int if_nametoindex(const char *ifname);
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  // int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
  //                 struct addrinfo **res);
  getaddrinfo: {
    parameters: ["buffer", "buffer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  // void freeaddrinfo(struct addrinfo *res);
  freeaddrinfo: { parameters: ["pointer"], result: "void" },
  // const char *gai_strerror(int errcode);
  gai_strerror: { parameters: ["i32"], result: "pointer" },

  // --- readiness and time ---
  // int epoll_create1(int flags);
  epoll_create1: { parameters: ["i32"], result: "i32" },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
  epoll_wait_at: { name: "epoll_wait", parameters: ["i32", "u64", "i32", "i32"], result: "i32" },
  epoll_wait_in_pool: {
    name: "epoll_wait",
    parameters: ["i32", "u64", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int eventfd(unsigned int initval, int flags);
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int timerfd_create(int clockid, int flags);
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  // int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);
  timerfd_settime: { parameters: ["i32", "i32", "buffer", "buffer"], result: "i32" },
  // int clock_gettime(clockid_t clockid, struct timespec *tp);
  clock_gettime_at: { name: "clock_gettime", parameters: ["i32", "u64"], result: "i32" },
  // int inotify_init1(int flags);
  inotify_init1: { parameters: ["i32"], result: "i32" },
  // int inotify_add_watch(int fd, const char *pathname, uint32_t mask);
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },

  // --- memory and randomness ---
  // int madvise(void *addr, size_t length, int advice);
  madvise: { parameters: ["u64", "u64", "i32"], result: "i32" },
  // int malloc_trim(size_t pad);
  malloc_trim: { parameters: ["u32"], result: "i32" },
  // int mlock2(const void *addr, size_t len, unsigned int flags);
  mlock2: { parameters: ["u64", "u64", "u32"], result: "i32" },
  // ssize_t getrandom(void *buf, size_t buflen, unsigned int flags);
  getrandom: { parameters: ["buffer", "u32", "u32"], result: "i32" },

  // --- files ---
  // int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *buf);
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  // int access(const char *pathname, int mode);
  access: { parameters: ["buffer", "i32"], result: "i32" },
  // char *realpath(const char *path, char *resolved_path);
  realpath: { parameters: ["buffer", "buffer"], result: "pointer" },
  // int unlink(const char *pathname);
  unlink: { parameters: ["buffer"], result: "i32" },
  // int mkdir(const char *pathname, mode_t mode);
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  // int rmdir(const char *pathname);
  rmdir: { parameters: ["buffer"], result: "i32" },
  // int rename(const char *oldpath, const char *newpath);
  rename: { parameters: ["buffer", "buffer"], result: "i32" },
  // int chmod(const char *pathname, mode_t mode);
  chmod: { parameters: ["buffer", "u32"], result: "i32" },
  // int fchmod(int fd, mode_t mode);
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  // int fchown(int fd, uid_t owner, gid_t group);
  fchown: { parameters: ["i32", "u32", "u32"], result: "i32" },
  // mode_t umask(mode_t mask);
  umask: { parameters: ["u32"], result: "u32" },
  // int fsync(int fd);
  fsync: { parameters: ["i32"], result: "i32" },
  // DIR *opendir(const char *name);
  opendir: { parameters: ["buffer"], result: "pointer" },
  // struct dirent *readdir(DIR *dirp);
  readdir: { parameters: ["pointer"], result: "pointer" },
  // int closedir(DIR *dirp);
  closedir: { parameters: ["pointer"], result: "i32" },

  // --- process ---
  // int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *,
  //                 const posix_spawnattr_t *, char *const argv[], char *const envp[]);
  posix_spawn: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  // int posix_spawnp(...); the same, with a search of PATH.
  posix_spawnp: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  // int posix_spawn_file_actions_init(posix_spawn_file_actions_t *);
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  // int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *);
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  // int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *, int fd, int newfd);
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  // int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *, int fd, const char *path,
  //                                      int oflag, mode_t mode);
  posix_spawn_file_actions_addopen: {
    parameters: ["buffer", "i32", "buffer", "i32", "u32"],
    result: "i32",
  },
  // int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int from);
  // glibc 2.34 and later.
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: ["buffer", "i32"],
    result: "i32",
    optional: true,
  },
  // int posix_spawnattr_init(posix_spawnattr_t *);
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  // int posix_spawnattr_destroy(posix_spawnattr_t *);
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  // int posix_spawnattr_setflags(posix_spawnattr_t *, short flags);
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  // int posix_spawnattr_setsigmask(posix_spawnattr_t *, const sigset_t *);
  posix_spawnattr_setsigmask: { parameters: ["buffer", "buffer"], result: "i32" },
  // int posix_spawnattr_setsigdefault(posix_spawnattr_t *, const sigset_t *);
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },
  // pid_t waitpid(pid_t pid, int *wstatus, int options);
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // int kill(pid_t pid, int sig);
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // int pidfd_open(pid_t pid, unsigned int flags); by number, for glibc before 2.36.
  syscall_pidfd_open: { name: "syscall", parameters: ["i64", "i64", "i64"], result: "i32" },
  // int prctl(int option, unsigned long arg2, unsigned long, unsigned long, unsigned long);
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  // int setns(int fd, int nstype);
  setns: { parameters: ["i32", "i32"], result: "i32" },
  // int unshare(int flags);
  unshare: { parameters: ["i32"], result: "i32" },
  // void _exit(int status);
  _exit: { parameters: ["i32"], result: "void" },
  // int getrlimit(int resource, struct rlimit *rlim);
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  // int setrlimit(int resource, const struct rlimit *rlim);
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  // pid_t getpid(void);
  getpid: { parameters: [], result: "i32" },
  // uid_t geteuid(void);
  geteuid: { parameters: [], result: "u32" },
  // char *getenv(const char *name);
  getenv: { parameters: ["buffer"], result: "pointer" },
  // int setenv(const char *name, const char *value, int overwrite);
  setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
  // int unsetenv(const char *name);
  unsetenv: { parameters: ["buffer"], result: "i32" },
  // struct passwd *getpwuid(uid_t uid);
  getpwuid: { parameters: ["u32"], result: "pointer" },
  // int gethostname(char *name, size_t len);
  gethostname: { parameters: ["buffer", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of the C library, by their C names. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

let opened: Libc | undefined;
let errnoWord: Int32Array | undefined;

/**
 * The C library. A function is bound when it is first named, in each worker by itself. Who calls one
 * for each packet holds the function: with each function that is bound this object gets another
 * shape, and V8 discards all compiled code that looked a function up in it.
 */
export function libc(): Libc {
  if (opened === undefined) {
    opened = bindOnUse("libc.so.6", SYMBOLS);
    // errno is per thread, its place is fixed, and a worker never changes its thread: one look-up,
    // then each read is a plain load with no call that could overwrite it.
    const place = opened.__errno_location()!;
    errnoWord = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(place, 4));
  }
  return opened;
}

/**
 * The functions of `table`, each bound by the first look at it: Deno compiles a trampoline for each,
 * which takes 0.2 ms, and no worker uses more than a part of the table. Binding may overwrite errno,
 * but comes before the call itself.
 */
function bindOnUse<T extends Deno.ForeignLibraryInterface>(
  file: string,
  table: T,
): Deno.DynamicLibrary<T>["symbols"] {
  const unbound: Record<string, unknown> = {};
  const symbols = Object.create(unbound);
  for (const [name, symbol] of Object.entries(table)) {
    Object.defineProperty(unbound, name, {
      get: () => {
        const bound: Record<string, unknown> = Deno.dlopen(file, { [name]: symbol }).symbols;
        // The name's own property is in front of this one from here on.
        Object.defineProperty(symbols, name, { value: bound[name] });
        return bound[name];
      },
    });
  }
  return symbols;
}

const DLSYM = {
  // void *dlsym(void *handle, const char *symbol); in libdl before glibc 2.34.
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * The current `environ` (`extern char **environ`). It is looked up in the global scope of the whole
 * program: Deno's executable has a copy of the variable, and the C library works on that one. It is
 * read anew each time, since setenv may move the array.
 */
export function environPointer(): Deno.PointerValue {
  const name = new TextEncoder().encode("environ\0");
  for (const file of ["libc.so.6", "libdl.so.2"]) {
    let place: Deno.PointerValue;
    try {
      place = Deno.dlopen(file, DLSYM).symbols.dlsym(null, name);
    } catch {
      continue;
    }
    return place === null ? null : new Deno.UnsafePointerView(place).getPointer(0);
  }
  return null;
}

/** errno of the last failed call of this thread; read it before any other call. */
export function errno(): number {
  return errnoWord === undefined ? 0 : errnoWord[0];
}

/** Turns a raw result into a result >= 0 or a negated errno. Call it on the result at once. */
export function checked(result: number): number {
  return result >= 0 ? result : -errnoWord![0];
}
