/* Laid under a process with LD_PRELOAD: while the file FAULT_TRIGGER exists, FAULT_CALL (sync, write, read) fails with
 * EIO on files whose path ends with FAULT_FILE. With FAULT_ONCE the failing call removes the trigger, so that the next
 * one works. A sync that fails loses what the file has grown by since the last one that worked, or since
 * it was first written, as a disk does that has
 * dropped its cache. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096
static off_t synced[FILES_MAX];
static ino_t known[FILES_MAX];

static int is_meant(int file, const char *call) {
    const char *wanted = getenv("FAULT_CALL"), *suffix = getenv("FAULT_FILE");
    char link[64], path[4096];
    if (!wanted || !suffix || strcmp(wanted, call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1), end = (ssize_t)strlen(suffix);
    return length >= end && !strncmp(path + length - end, suffix, (size_t)end);
}

static int is_now(void) {
    const char *trigger = getenv("FAULT_TRIGGER");
    if (!trigger) return 0;
    return getenv("FAULT_ONCE") ? unlink(trigger) == 0 : access(trigger, F_OK) == 0;
}

static void meet(int file) {
    struct stat found;
    if (file < FILES_MAX && !fstat(file, &found) && known[file] != found.st_ino) {
        known[file] = found.st_ino;
        synced[file] = found.st_size;
    }
}

static int sync_file(int file, const char *name) {
    struct stat found;
    if (is_meant(file, "sync") && file < FILES_MAX) {
        meet(file);
        if (is_now()) {
            if (ftruncate(file, synced[file])) perror("ftruncate");
            errno = EIO;
            return -1;
        }
        if (!fstat(file, &found)) synced[file] = found.st_size;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return sync_file(file, "fsync"); }
int fdatasync(int file) { return sync_file(file, "fdatasync"); }

typedef ssize_t (*Write)(int, const void *, size_t, off_t);
typedef ssize_t (*Read)(int, void *, size_t, off_t);

#define FAILS(call) if (is_meant(file, call) && is_now()) { errno = EIO; return -1; }

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    FAILS("write")
    if (is_meant(file, "sync")) meet(file);
    return ((Write)dlsym(RTLD_NEXT, "pwrite"))(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off_t at) {
    FAILS("write")
    if (is_meant(file, "sync")) meet(file);
    return ((Write)dlsym(RTLD_NEXT, "pwrite64"))(file, data, size, at);
}
ssize_t pread(int file, void *data, size_t size, off_t at) {
    FAILS("read")
    return ((Read)dlsym(RTLD_NEXT, "pread"))(file, data, size, at);
}
ssize_t pread64(int file, void *data, size_t size, off_t at) {
    FAILS("read")
    return ((Read)dlsym(RTLD_NEXT, "pread64"))(file, data, size, at);
}
