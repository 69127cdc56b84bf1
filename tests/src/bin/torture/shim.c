/*
 * Stands between the host and the C library's file calls, and makes the disk misbehave.
 *
 * It acts on the store's files in one directory and leaves every other file alone. Nothing of it is
 * active unless these variables are set:
 *
 *   SANDBUS_SHIM_ROOT     the directory
 *   SANDBUS_SHIM_CONTROL  a file of 64-bit numbers, mapped here, that a test writes while the host runs
 *   SANDBUS_SHIM_RECORD   optional: where everything that reaches the files is written down, in order
 *
 * The calls go to the kernel directly, so that there is no order of initialisation to get wrong.
 */

#define _GNU_SOURCE
/* The checked variants of open() are inline functions, which could not be defined here. */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 0

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The numbers of the control file; shim.rs has the same. The last two are written here. */
enum slot { IGNORE_SYNCS, FAIL_SYNCS, QUOTA, READ_ONLY, CLOCK_OFFSET, SYNC_DELAY, FAULTS, SYNCS, SLOTS };

/* The files that the shim watches; recording.rs has the same numbers. */
enum file { NONE, DATABASE, WAL, JOURNAL, DIRECTORY };
static const char *const NAMES[] = { "", "bus.db", "bus.db-wal", "bus.db-journal" };

/* The kinds of records; recording.rs has the same numbers. */
enum kind { WRITE = 1, TRUNCATE, SYNC, CREATE, UNLINK, RENAME };

struct header {
    uint32_t kind;
    uint32_t file;
    /* The offset of a write, the length after a truncation, or what a sync covers: all before this
       length of the recording. */
    uint64_t where;
    uint64_t length;
};

#define MAX_FD 65536

static char root[PATH_MAX];
static const char *root_name;
static _Atomic int64_t *control;
static int recording = -1;
static uint64_t recorded;
/* The file of each descriptor. */
static _Atomic unsigned char files[MAX_FD];
/* Keeps the records in the order of the operations. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *reason)
{
    syscall(SYS_write, 2, reason, strlen(reason));
    _exit(97);
}

__attribute__((constructor)) static void start(void)
{
    const char *directory = getenv("SANDBUS_SHIM_ROOT");
    const char *numbers = getenv("SANDBUS_SHIM_CONTROL");
    const char *record = getenv("SANDBUS_SHIM_RECORD");
    if (!directory)
        return;
    if (!realpath(directory, root))
        die("shim: SANDBUS_SHIM_ROOT is no directory\n");
    root_name = strrchr(root, '/') + 1;
    if (record) {
        recording = syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (recording < 0)
            die("shim: SANDBUS_SHIM_RECORD cannot be written\n");
    }
    int fd = numbers ? syscall(SYS_openat, AT_FDCWD, numbers, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED
                          : mmap(NULL, SLOTS * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        die("shim: SANDBUS_SHIM_CONTROL cannot be mapped\n");
    syscall(SYS_close, fd);
    control = mapped;
}

static int64_t setting(enum slot slot)
{
    return control ? atomic_load(&control[slot]) : 0;
}

/* Fails a call and counts the failure. */
static int fail(int error)
{
    atomic_fetch_add(&control[FAULTS], 1);
    errno = error;
    return -1;
}

static enum file file_of(int fd)
{
    return control && fd >= 0 && fd < MAX_FD ? files[fd] : NONE;
}

/* The file that a path names. Paths relative to another directory than the working directory are not watched. */
static enum file classify(int at, const char *path)
{
    if (!control || !path || (at != AT_FDCWD && path[0] != '/'))
        return NONE;
    char parent[PATH_MAX], resolved[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strcmp(name, root_name) == 0)
        return realpath(path, resolved) && strcmp(resolved, root) == 0 ? DIRECTORY : NONE;
    for (enum file file = DATABASE; file <= JOURNAL; file++) {
        if (strcmp(name, NAMES[file]) != 0)
            continue;
        size_t length = slash ? (size_t)(slash - path) : 0;
        if (length >= sizeof parent)
            return NONE;
        memcpy(parent, path, length);
        parent[length] = 0;
        return realpath(length ? parent : ".", resolved) && strcmp(resolved, root) == 0 ? file : NONE;
    }
    return NONE;
}

/* Writes a record. The caller holds the lock. */
static void record(enum kind kind, enum file file, uint64_t where, const void *bytes, size_t length)
{
    if (recording < 0)
        return;
    struct header header = { kind, file, where, length };
    struct iovec parts[] = { { &header, sizeof header }, { (void *)bytes, length } };
    if (syscall(SYS_writev, recording, parts, length ? 2 : 1) != (long)(sizeof header + length))
        die("shim: the recording cannot be written\n");
    recorded += sizeof header + length;
}

static int open_file(int at, const char *path, int flags, mode_t mode)
{
    enum file file = classify(at, path);
    if (file == NONE)
        return syscall(SYS_openat, at, path, flags, mode);
    if (file != DIRECTORY && (flags & O_ACCMODE) != O_RDONLY && setting(READ_ONLY))
        return fail(EROFS);
    pthread_mutex_lock(&lock);
    int existed = syscall(SYS_faccessat, at, path, F_OK) == 0;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= MAX_FD)
        die("shim: too many open files\n");
    if (fd >= 0) {
        files[fd] = file;
        if (file != DIRECTORY && !existed)
            record(CREATE, file, 0, NULL, 0);
        else if (file != DIRECTORY && (flags & O_TRUNC))
            record(TRUNCATE, file, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(at)                                           \
    mode_t mode = 0;                                       \
    if (flags & (O_CREAT | __O_TMPFILE)) {                 \
        va_list arguments;                                 \
        va_start(arguments, flags);                        \
        mode = va_arg(arguments, mode_t);                  \
        va_end(arguments);                                 \
    }                                                      \
    return open_file(at, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int openat(int at, const char *path, int flags, ...) { OPEN(at); }
int openat64(int at, const char *path, int flags, ...) { OPEN(at); }

int creat(const char *path, mode_t mode)
{
    return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int close(int fd)
{
    if (file_of(fd) != NONE)
        files[fd] = NONE;
    return syscall(SYS_close, fd);
}

/* Whether a file of this length would exceed the quota. The caller holds the lock. */
static int is_over_quota(int fd, int64_t length)
{
    int64_t quota = setting(QUOTA), total = 0;
    struct stat status;
    if (!quota || fstat(fd, &status) != 0 || length <= status.st_size)
        return 0;
    total = length - status.st_size;
    for (enum file file = DATABASE; file <= JOURNAL; file++) {
        char path[PATH_MAX + 32];
        strcpy(path, root);
        strcat(path, "/");
        strcat(path, NAMES[file]);
        if (stat(path, &status) == 0)
            total += status.st_size;
    }
    return total > quota;
}

static ssize_t write_file(enum file file, int fd, const void *bytes, size_t length, off_t offset)
{
    if (setting(READ_ONLY))
        return fail(EROFS);
    pthread_mutex_lock(&lock);
    ssize_t written = -1;
    int error = ENOSPC;
    if (is_over_quota(fd, offset + (int64_t)length)) {
        fail(ENOSPC);
    } else {
        written = syscall(SYS_pwrite64, fd, bytes, length, offset);
        error = errno;
        if (written > 0)
            record(WRITE, file, offset, bytes, written);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    enum file file = file_of(fd);
    if (file == NONE)
        return syscall(SYS_pwrite64, fd, bytes, length, offset);
    return write_file(file, fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    return pwrite(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    enum file file = file_of(fd);
    if (file == NONE)
        return syscall(SYS_write, fd, bytes, length);
    off_t offset = syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t written = write_file(file, fd, bytes, length, offset);
    if (written > 0)
        syscall(SYS_lseek, fd, offset + written, SEEK_SET);
    return written;
}

int ftruncate(int fd, off_t length)
{
    enum file file = file_of(fd);
    if (file == NONE)
        return syscall(SYS_ftruncate, fd, length);
    if (setting(READ_ONLY))
        return fail(EROFS);
    pthread_mutex_lock(&lock);
    int result = -1, error = ENOSPC;
    if (is_over_quota(fd, length)) {
        fail(ENOSPC);
    } else {
        result = syscall(SYS_ftruncate, fd, length);
        error = errno;
        if (result == 0)
            record(TRUNCATE, file, length, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

/* Whether this sync should fail. With n, all syncs from the n-th on fail. */
static int sync_fails(void)
{
    int64_t left = setting(FAIL_SYNCS);
    while (left > 1)
        if (atomic_compare_exchange_weak(&control[FAIL_SYNCS], &left, left - 1))
            return 0;
    return left == 1;
}

static int sync_file(long call, int fd)
{
    enum file file = file_of(fd);
    if (file == NONE)
        return syscall(call, fd);
    atomic_fetch_add(&control[SYNCS], 1);
    int64_t delay = setting(SYNC_DELAY);
    if (delay) {
        struct timespec time = { delay / 1000, delay % 1000 * 1000000 };
        nanosleep(&time, NULL);
    }
    if (setting(IGNORE_SYNCS) >> file & 1)
        return 0;
    if (sync_fails())
        return fail(EIO);
    /* The sync may or may not include writes that happen while it runs, so it does not count for them. */
    pthread_mutex_lock(&lock);
    uint64_t covered = recorded;
    pthread_mutex_unlock(&lock);
    int result = syscall(call, fd);
    int error = errno;
    if (result == 0) {
        pthread_mutex_lock(&lock);
        record(SYNC, file, covered, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return result;
}

int fsync(int fd) { return sync_file(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_file(SYS_fdatasync, fd); }

static int remove_file(int at, const char *path, int flags)
{
    enum file file = flags ? NONE : classify(at, path);
    if (file == NONE || file == DIRECTORY)
        return syscall(SYS_unlinkat, at, path, flags);
    if (setting(READ_ONLY))
        return fail(EROFS);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_unlinkat, at, path, 0);
    int error = errno;
    if (result == 0)
        record(UNLINK, file, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *path) { return remove_file(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return remove_file(at, path, flags); }

/* The store renames no files. If it ever does, recording.rs refuses the recording. */
int rename(const char *from, const char *to)
{
    enum file file = classify(AT_FDCWD, from);
    if (file == NONE)
        file = classify(AT_FDCWD, to);
    if (file == NONE || file == DIRECTORY)
        return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (setting(READ_ONLY))
        return fail(EROFS);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    int error = errno;
    if (result == 0)
        record(RENAME, file, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += setting(CLOCK_OFFSET);
    return result;
}
