// Counts the calls of each phase that change files below given roots; one of them fails or kills the process.
//
// Built into a library that is loaded with LD_PRELOAD. It is off until shim_arm() is called. Calls are seen at
// the border between a library and libc, which is why stdio (fopen, fwrite, fflush, fclose) has wrappers of its
// own: what libc calls inside itself does not cross that border. Writes through mmap and raw syscalls are not
// seen. One line per call goes to the log: number, kind, phase, inode, size, caller, path, second path.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, FAIL_EIO, FULL_DISK, KILL_BEFORE };

static atomic_int mode = OFF, log_fd = -1;
static atomic_long target = -1, calls = 0;
static atomic_int full = 0;
static char roots[4][PATH_MAX], phase[64] = "start", target_phase[64];
static int n_roots = 0;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int inside(const char *path) {
    for (int at = 0; at < n_roots; at++) {
        size_t length = strlen(roots[at]);
        if (!strncmp(path, roots[at], length) && (path[length] == '/' || !path[length])) return 1;
    }
    return 0;
}

static int path_of_fd(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, out, PATH_MAX - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return out[0] == '/';
}

static int path_at(int folder, const char *path, char *out) {
    char base[PATH_MAX];
    if (!path) return 0;
    if (path[0] == '/') return snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
    } else if (!path_of_fd(folder, base)) {
        return 0;
    }
    return snprintf(out, PATH_MAX, "%s/%s", base, path) < PATH_MAX;
}

static void note(long number, const char *kind, const char *path, const char *other, void *caller) {
    char line[3 * PATH_MAX];
    struct stat found = {0};
    Dl_info info = {0};
    if (log_fd < 0) return;
    if (stat(path, &found)) found.st_ino = 0;
    const char *library = dladdr(caller, &info) && info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
    int length = snprintf(line, sizeof line, "%ld\t%s\t%s\t%lu\t%ld\t%s\t%s\t%s\n", number, kind, phase,
                          (unsigned long)found.st_ino, (long)found.st_size,
                          library ? library + 1 : "python", path, other ? other : "");
    syscall(SYS_write, log_fd, line, (size_t)length);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

// Returns 1 if the call has to fail; errno is set then.
static int enter(const char *kind, const char *path, const char *other, int takes_space, void *caller) {
    int saved = errno;
    if (mode == OFF || !(inside(path) || (other && inside(other)))) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    int hit = number == target && !strcmp(phase, target_phase);
    note(number, kind, path, other, caller);
    if (hit && mode == KILL_BEFORE) die();
    if (hit && mode == FULL_DISK) full = 1;
    errno = saved;
    if (hit && mode == FAIL_EIO) return errno = EIO, 1;
    if (full && (hit || takes_space)) return errno = ENOSPC, 1;
    return 0;
}

static int enter_fd(const char *kind, int fd, int takes_space, void *caller) {
    char path[PATH_MAX];
    int saved = errno;
    int known = mode != OFF && path_of_fd(fd, path);
    errno = saved;
    return known ? enter(kind, path, NULL, takes_space, caller) : 0;
}

#define CALLER __builtin_return_address(0)

void shim_arm(int new_mode, const char *at, long number, int fd, const char *folders) {
    n_roots = 0;
    char copy[4 * PATH_MAX], *rest = copy;
    snprintf(copy, sizeof copy, "%s", folders);
    for (char *part; (part = strsep(&rest, ":")) && n_roots < 4;)
        snprintf(roots[n_roots++], PATH_MAX, "%s", part);
    snprintf(target_phase, sizeof target_phase, "%s", at);
    log_fd = fd;
    target = number;
    calls = full = 0;
    mode = new_mode;
}

void shim_off(void) { mode = OFF; }
void shim_phase(const char *name) {
    snprintf(phase, sizeof phase, "%s", name);
    calls = 0;
}

// Opening for writing. Reading is no fault of this kind: a damaged file is another campaign.
static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC); }

#define OPEN_BODY(folder, ...) \
    char full_path[PATH_MAX]; \
    if (mode != OFF && writes(flags) && path_at(folder, path, full_path) && \
        enter("open", full_path, NULL, flags & O_CREAT, CALLER)) \
        return -1; \
    return real(__VA_ARGS__);
#define MODE_ARGUMENT \
    mode_t permissions = 0; \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list arguments; \
        va_start(arguments, flags); \
        permissions = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE_ARGUMENT
    OPEN_BODY(AT_FDCWD, path, flags, permissions)
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE_ARGUMENT
    OPEN_BODY(AT_FDCWD, path, flags, permissions)
}
int openat(int folder, const char *path, int flags, ...) {
    REAL(openat);
    MODE_ARGUMENT
    OPEN_BODY(folder, folder, path, flags, permissions)
}
int openat64(int folder, const char *path, int flags, ...) {
    REAL(openat64);
    MODE_ARGUMENT
    OPEN_BODY(folder, folder, path, flags, permissions)
}
int __open_2(const char *path, int flags) {
    __typeof__(&open) real = (__typeof__(&open))dlsym(RTLD_NEXT, "open");
    OPEN_BODY(AT_FDCWD, path, flags)
}
int __open64_2(const char *path, int flags) {
    __typeof__(&open64) real = (__typeof__(&open64))dlsym(RTLD_NEXT, "open64");
    OPEN_BODY(AT_FDCWD, path, flags)
}
int __openat_2(int folder, const char *path, int flags) {
    __typeof__(&openat) real = (__typeof__(&openat))dlsym(RTLD_NEXT, "openat");
    OPEN_BODY(folder, folder, path, flags)
}
int __openat64_2(int folder, const char *path, int flags) {
    __typeof__(&openat64) real = (__typeof__(&openat64))dlsym(RTLD_NEXT, "openat64");
    OPEN_BODY(folder, folder, path, flags)
}
int creat(const char *path, mode_t permissions) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, permissions); }
int creat64(const char *path, mode_t permissions) {
    return open64(path, O_CREAT | O_WRONLY | O_TRUNC, permissions);
}

#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        REAL(name); \
        char full_path[PATH_MAX]; \
        if (mode != OFF && strpbrk(how, "wa+") && path_at(AT_FDCWD, path, full_path) && \
            enter("open", full_path, NULL, 1, CALLER)) \
            return NULL; \
        return real(path, how); \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define ON_FD(result, name, kind, space, failed, parameters, fd, arguments) \
    result name parameters { \
        REAL(name); \
        if (enter_fd(kind, fd, space, CALLER)) return failed; \
        return real arguments; \
    }
ON_FD(ssize_t, write, "write", 1, -1, (int fd, const void *body, size_t size), fd, (fd, body, size))
ON_FD(ssize_t, pwrite, "write", 1, -1, (int fd, const void *body, size_t size, off_t at), fd, (fd, body, size, at))
ON_FD(ssize_t, pwrite64, "write", 1, -1, (int fd, const void *body, size_t size, off64_t at), fd,
      (fd, body, size, at))
ON_FD(ssize_t, writev, "write", 1, -1, (int fd, const struct iovec *parts, int n), fd, (fd, parts, n))
ON_FD(ssize_t, pwritev, "write", 1, -1, (int fd, const struct iovec *parts, int n, off_t at), fd,
      (fd, parts, n, at))
ON_FD(ssize_t, pwritev64, "write", 1, -1, (int fd, const struct iovec *parts, int n, off64_t at), fd,
      (fd, parts, n, at))
ssize_t sendfile(int, int, off_t *, size_t);
ssize_t sendfile64(int, int, off64_t *, size_t);
ON_FD(ssize_t, sendfile, "write", 1, -1, (int out, int in, off_t *at, size_t size), out, (out, in, at, size))
ON_FD(ssize_t, sendfile64, "write", 1, -1, (int out, int in, off64_t *at, size_t size), out, (out, in, at, size))
ON_FD(ssize_t, copy_file_range, "write", 1, -1,
      (int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags), out,
      (in, from, out, to, size, flags))
ON_FD(int, fsync, "fsync", 0, -1, (int fd), fd, (fd))
ON_FD(int, fdatasync, "fsync", 0, -1, (int fd), fd, (fd))
ON_FD(int, ftruncate, "truncate", 1, -1, (int fd, off_t size), fd, (fd, size))
ON_FD(int, ftruncate64, "truncate", 1, -1, (int fd, off64_t size), fd, (fd, size))
ON_FD(int, posix_fallocate, "truncate", 1, errno, (int fd, off_t at, off_t size), fd, (fd, at, size))
ON_FD(int, fallocate, "truncate", 1, -1, (int fd, int how, off_t at, off_t size), fd, (fd, how, at, size))
ON_FD(int, posix_fallocate64, "truncate", 1, errno, (int fd, off64_t at, off64_t size), fd, (fd, at, size))
ON_FD(int, fallocate64, "truncate", 1, -1, (int fd, int how, off64_t at, off64_t size), fd, (fd, how, at, size))
ON_FD(size_t, fwrite, "write", 1, 0, (const void *body, size_t size, size_t n, FILE *file),
      (mode == OFF ? -1 : fileno(file)), (body, size, n, file))
ON_FD(int, fputs, "write", 1, EOF, (const char *text, FILE *file), (mode == OFF ? -1 : fileno(file)), (text, file))

// Closing flushes what stdio still holds; descriptors that were only read are of no interest.
static int is_written(FILE *file) { return mode != OFF && file && __fwriting(file); }
int fflush(FILE *file) {
    REAL(fflush);
    if (is_written(file) && enter_fd("write", fileno(file), 1, CALLER)) return EOF;
    return real(file);
}
int fclose(FILE *file) {
    REAL(fclose);
    int failed = is_written(file) && enter_fd("write", fileno(file), 1, CALLER), why = errno;
    int found = real(file);
    return failed ? (errno = why, EOF) : found;
}

#define ON_PATH(name, kind, space, folder, path, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        char full_path[PATH_MAX]; \
        if (mode != OFF && path_at(folder, path, full_path) && \
            enter(kind, full_path, NULL, space, CALLER)) \
            return -1; \
        return real arguments; \
    }
ON_PATH(mkdir, "mkdir", 1, AT_FDCWD, path, (const char *path, mode_t permissions), (path, permissions))
ON_PATH(mkdirat, "mkdir", 1, folder, path, (int folder, const char *path, mode_t permissions),
        (folder, path, permissions))
ON_PATH(unlink, "unlink", 0, AT_FDCWD, path, (const char *path), (path))
ON_PATH(unlinkat, "unlink", 0, folder, path, (int folder, const char *path, int flags), (folder, path, flags))
ON_PATH(rmdir, "unlink", 0, AT_FDCWD, path, (const char *path), (path))
ON_PATH(remove, "unlink", 0, AT_FDCWD, path, (const char *path), (path))
ON_PATH(truncate, "truncate", 1, AT_FDCWD, path, (const char *path, off_t size), (path, size))

#define ON_TWO(name, kind, space, one, old, two, new, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        char from[PATH_MAX], to[PATH_MAX]; \
        if (mode != OFF && path_at(one, old, from) && path_at(two, new, to) && \
            enter(kind, from, to, space, CALLER)) \
            return -1; \
        return real arguments; \
    }
ON_TWO(rename, "rename", 0, AT_FDCWD, old, AT_FDCWD, new, (const char *old, const char *new), (old, new))
ON_TWO(renameat, "rename", 0, one, old, two, new, (int one, const char *old, int two, const char *new),
       (one, old, two, new))
ON_TWO(renameat2, "rename", 0, one, old, two, new,
       (int one, const char *old, int two, const char *new, unsigned flags), (one, old, two, new, flags))
ON_TWO(link, "link", 1, AT_FDCWD, old, AT_FDCWD, new, (const char *old, const char *new), (old, new))
ON_TWO(linkat, "link", 1, one, old, two, new, (int one, const char *old, int two, const char *new, int flags),
       (one, old, two, new, flags))
