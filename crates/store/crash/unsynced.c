/* A file layer for crash tests, loaded with LD_PRELOAD: what a process writes to files below HELSENAV_UNSYNCED_DIR stays
 * in the process until fsync or fdatasync, and reads of the same process see it. Killed with SIGKILL, the process takes
 * along what it had not flushed, as a power loss would. Without such a layer a kill shows nothing: the kernel keeps
 * written pages.
 *
 * With HELSENAV_UNSYNCED_LEAK=PERCENT, that share of writes lets one random unflushed page through to the real file, as a
 * kernel may write back any page at any time: what is lost is then not the newest part but a random part.
 *
 * Per inode it keeps 4 KiB pages that were written, the size that the process believes in, and how far the real file's
 * bytes are still valid (a truncation is unflushed too). One lock; speed does not matter here. Creating, renaming and
 * removing files go straight through: directories are not modelled. Files ending in -shm are left alone (SQLite's shared
 * memory, never flushed and rebuilt after a crash); mapping any other covered file fails with ENODEV, on which SQLite
 * falls back to reading.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define BUCKETS 4096
#define MAX_FDS 65536
#define WHOLE INT64_MAX

struct page {
    struct page *next;
    int64_t number;
    unsigned char bytes[PAGE];
};

struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    int opens;
    int64_t size;  /* as the process sees it */
    int64_t valid; /* real bytes from here on were truncated away */
    int dirty;
    struct page *pages[BUCKETS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static struct file *fds[MAX_FDS];
static char covered[4096];
static size_t covered_length;
static unsigned leak_percent, leak_state = 1;

#define REAL(name) real_##name
#define DECLARE(result, name, ...) static result (*REAL(name))(__VA_ARGS__)

DECLARE(int, open64, const char *, int, ...);
DECLARE(int, openat64, int, const char *, int, ...);
DECLARE(int, close, int);
DECLARE(ssize_t, read, int, void *, size_t);
DECLARE(ssize_t, write, int, const void *, size_t);
DECLARE(ssize_t, pread64, int, void *, size_t, off64_t);
DECLARE(ssize_t, pwrite64, int, const void *, size_t, off64_t);
DECLARE(ssize_t, readv, int, const struct iovec *, int);
DECLARE(ssize_t, writev, int, const struct iovec *, int);
DECLARE(off64_t, lseek64, int, off64_t, int);
DECLARE(int, ftruncate64, int, off64_t);
DECLARE(int, fsync, int);
DECLARE(int, fdatasync, int);
DECLARE(int, fstat64, int, struct stat64 *);
DECLARE(int, stat64, const char *, struct stat64 *);
DECLARE(int, lstat64, const char *, struct stat64 *);
DECLARE(int, fstatat64, int, const char *, struct stat64 *, int);
DECLARE(int, statx, int, const char *, int, unsigned, struct statx *);
DECLARE(int, unlink, const char *);
DECLARE(int, unlinkat, int, const char *, int);
DECLARE(int, rename, const char *, const char *);
DECLARE(int, fcntl64, int, int, ...);
DECLARE(int, dup, int);
DECLARE(int, dup2, int, int);
DECLARE(int, dup3, int, int, int);
DECLARE(void *, mmap64, void *, size_t, int, int, int, off64_t);
DECLARE(int, posix_fallocate64, int, off64_t, off64_t);
DECLARE(int, fallocate64, int, int, off64_t, off64_t);

static void *find(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "unsynced: no function %s\n", name);
        abort();
    }
    return found;
}

static void load(void) {
    static int loaded;
    if (__atomic_load_n(&loaded, __ATOMIC_ACQUIRE)) return;
#define FIND(name) REAL(name) = find(#name)
    FIND(open64); FIND(openat64); FIND(close); FIND(read); FIND(write); FIND(pread64); FIND(pwrite64);
    FIND(readv); FIND(writev); FIND(lseek64); FIND(ftruncate64); FIND(fsync); FIND(fdatasync);
    FIND(fstat64); FIND(stat64); FIND(lstat64); FIND(fstatat64); FIND(statx); FIND(unlink); FIND(unlinkat);
    FIND(rename); FIND(fcntl64); FIND(dup); FIND(dup2); FIND(dup3); FIND(mmap64); FIND(posix_fallocate64);
    FIND(fallocate64);
    const char *folder = getenv("HELSENAV_UNSYNCED_DIR");
    char resolved[4096];
    if (folder && realpath(folder, resolved)) {
        covered_length = strlen(resolved);
        memcpy(covered, resolved, covered_length + 1);
    }
    const char *leak = getenv("HELSENAV_UNSYNCED_LEAK");
    if (leak) leak_percent = atoi(leak);
    leak_state = getpid();
    __atomic_store_n(&loaded, 1, __ATOMIC_RELEASE);
}

__attribute__((constructor)) static void begin(void) { load(); }

static struct file *of_inode(dev_t dev, ino_t ino) {
    for (struct file *f = files; f; f = f->next)
        if (f->dev == dev && f->ino == ino) return f;
    return NULL;
}

static struct file *of_fd(int fd) { return fd >= 0 && fd < MAX_FDS ? fds[fd] : NULL; }

static void drop_pages(struct file *f, int64_t from) {
    for (int b = 0; b < BUCKETS; b++)
        for (struct page **at = &f->pages[b]; *at;) {
            struct page *p = *at;
            if (p->number * PAGE >= from) {
                *at = p->next;
                free(p);
            } else {
                at = &p->next;
            }
        }
}

static void forget(struct file *f) {
    drop_pages(f, 0);
    for (struct file **at = &files; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            break;
        }
    free(f);
}

static struct page *page_of(struct file *f, int64_t number) {
    for (struct page *p = f->pages[number % BUCKETS]; p; p = p->next)
        if (p->number == number) return p;
    return NULL;
}

/* The bytes of a page as the process sees them without a page of ours. */
static int real_page(struct file *f, int fd, int64_t number, unsigned char *out) {
    int64_t start = number * PAGE, length = f->valid - start;
    memset(out, 0, PAGE);
    if (length <= 0) return 0;
    if (length > PAGE) length = PAGE;
    for (int64_t done = 0; done < length;) {
        ssize_t n = REAL(pread64)(fd, out + done, length - done, start + done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        done += n;
    }
    return 0;
}

static ssize_t seen_read(struct file *f, int fd, void *out, size_t length, int64_t at) {
    if (at < 0) {
        errno = EINVAL;
        return -1;
    }
    if (at >= f->size) return 0;
    if ((int64_t)length > f->size - at) length = f->size - at;
    for (size_t done = 0; done < length;) {
        int64_t number = (at + done) / PAGE;
        size_t inside = (at + done) % PAGE, n = PAGE - inside;
        if (n > length - done) n = length - done;
        struct page *p = page_of(f, number);
        unsigned char real[PAGE];
        if (!p && real_page(f, fd, number, real) < 0) return -1;
        memcpy((char *)out + done, (p ? p->bytes : real) + inside, n);
        done += n;
    }
    return length;
}

static void leak_page(struct file *f, int fd) {
    if (!leak_percent || f->valid != WHOLE || rand_r(&leak_state) % 100 >= leak_percent) return;
    for (int i = 0, b = rand_r(&leak_state) % BUCKETS; i < BUCKETS; i++, b = (b + 1) % BUCKETS) {
        struct page *p = f->pages[b];
        if (!p) continue;
        int64_t start = p->number * PAGE, length = f->size - start;
        if (length > PAGE) length = PAGE;
        if (length > 0 && REAL(pwrite64)(fd, p->bytes, length, start) < 0) return;
        return;
    }
}

static ssize_t kept_write(struct file *f, int fd, const void *in, size_t length, int64_t at) {
    if (at < 0) {
        errno = EINVAL;
        return -1;
    }
    for (size_t done = 0; done < length;) {
        int64_t number = (at + done) / PAGE;
        size_t inside = (at + done) % PAGE, n = PAGE - inside;
        if (n > length - done) n = length - done;
        struct page *p = page_of(f, number);
        if (!p) {
            p = malloc(sizeof *p);
            if (!p || real_page(f, fd, number, p->bytes) < 0) {
                free(p);
                errno = EIO;
                return -1;
            }
            /* beyond the seen end there may be real bytes of an earlier life */
            if (f->size < (number + 1) * PAGE) {
                int64_t keep = f->size - number * PAGE;
                if (keep < 0) keep = 0;
                memset(p->bytes + keep, 0, PAGE - keep);
            }
            p->number = number;
            p->next = f->pages[number % BUCKETS];
            f->pages[number % BUCKETS] = p;
        }
        memcpy(p->bytes + inside, (const char *)in + done, n);
        done += n;
    }
    if (length && at + (int64_t)length > f->size) f->size = at + length;
    f->dirty = 1;
    leak_page(f, fd);
    return length;
}

static int resize(struct file *f, int64_t size) {
    if (size < f->size) {
        if (size < f->valid) f->valid = size;
        drop_pages(f, (size + PAGE - 1) / PAGE * PAGE);
        struct page *edge = page_of(f, size / PAGE);
        if (edge) memset(edge->bytes + size % PAGE, 0, PAGE - size % PAGE);
    }
    f->size = size;
    f->dirty = 1;
    return 0;
}

/* What fsync is for: now the file gets it all. */
static int apply(struct file *f, int fd) {
    if (!f->dirty) return 0;
    struct stat64 real;
    if (REAL(fstat64)(fd, &real) < 0) return -1;
    if (f->valid < real.st_size && REAL(ftruncate64)(fd, f->valid) < 0) return -1;
    for (int b = 0; b < BUCKETS; b++)
        for (struct page *p = f->pages[b]; p; p = p->next) {
            int64_t start = p->number * PAGE, length = f->size - start;
            if (length > PAGE) length = PAGE;
            for (int64_t done = 0; done < length;) {
                ssize_t n = REAL(pwrite64)(fd, p->bytes + done, length - done, start + done);
                if (n < 0 && errno == EINTR) continue;
                if (n <= 0) return -1;
                done += n;
            }
        }
    if (REAL(fstat64)(fd, &real) < 0) return -1;
    if (real.st_size != f->size && REAL(ftruncate64)(fd, f->size) < 0) return -1;
    drop_pages(f, 0);
    f->valid = WHOLE;
    f->dirty = 0;
    return 0;
}

static int is_covered(int fd) {
    char link[64], path[4096];
    if (!covered_length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= (ssize_t)covered_length) return 0;
    path[n] = 0;
    return !strncmp(path, covered, covered_length) && path[covered_length] == '/' && (n < 4 || strcmp(path + n - 4, "-shm"));
}

static void leave(int fd) {
    struct file *f = of_fd(fd);
    if (!f) return;
    fds[fd] = NULL;
    if (--f->opens > 0) return;
    struct stat64 st;
    if (!REAL(fstat64)(fd, &st) && st.st_nlink == 0) forget(f);
}

/* Pages are read before they are changed, so a file opened for writing only is opened for both. */
static void make_readable(int fd, int flags) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int both = REAL(open64)(link, (flags & (O_APPEND | O_CLOEXEC)) | O_RDWR);
    if (both < 0) return;
    REAL(dup3)(both, fd, flags & O_CLOEXEC);
    REAL(close)(both);
}

static int enter(int fd, int flags) {
    struct stat64 st;
    if (fd < 0 || fd >= MAX_FDS || !is_covered(fd) || REAL(fstat64)(fd, &st) < 0 || !S_ISREG(st.st_mode)) return fd;
    if ((flags & O_ACCMODE) == O_WRONLY) make_readable(fd, flags);
    pthread_mutex_lock(&lock);
    struct file *f = of_inode(st.st_dev, st.st_ino);
    if (!f && (f = calloc(1, sizeof *f))) {
        f->dev = st.st_dev;
        f->ino = st.st_ino;
        f->size = st.st_size;
        f->valid = WHOLE;
        f->next = files;
        files = f;
    }
    if (f) {
        if (flags & O_TRUNC) {
            drop_pages(f, 0);
            f->size = 0;
            f->valid = WHOLE;
            f->dirty = 0;
        }
        f->opens++;
        fds[fd] = f;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static int copied(int from, int to) {
    if (to < 0 || to >= MAX_FDS) return to;
    pthread_mutex_lock(&lock);
    fds[to] = of_fd(from);
    if (fds[to]) fds[to]->opens++;
    pthread_mutex_unlock(&lock);
    return to;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list list; \
        va_start(list, last); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open64(const char *path, int flags, ...) {
    load();
    MODE(flags, flags)
    return enter(REAL(open64)(path, flags, mode), flags);
}
int open(const char *path, int flags, ...) {
    load();
    MODE(flags, flags)
    return enter(REAL(open64)(path, flags, mode), flags);
}
int openat64(int dir, const char *path, int flags, ...) {
    load();
    MODE(flags, flags)
    return enter(REAL(openat64)(dir, path, flags, mode), flags);
}
int openat(int dir, const char *path, int flags, ...) {
    load();
    MODE(flags, flags)
    return enter(REAL(openat64)(dir, path, flags, mode), flags);
}
int creat(const char *path, mode_t mode) { return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    load();
    pthread_mutex_lock(&lock);
    leave(fd);
    pthread_mutex_unlock(&lock);
    return REAL(close)(fd);
}

/* Runs under the lock with `f` set when the descriptor is covered; otherwise the real call. */
#define COVERED(fd, type, inside, outside) \
    load(); \
    pthread_mutex_lock(&lock); \
    struct file *f = of_fd(fd); \
    if (!f) { \
        pthread_mutex_unlock(&lock); \
        return outside; \
    } \
    type result = inside; \
    int kept_errno = errno; \
    pthread_mutex_unlock(&lock); \
    errno = kept_errno; \
    return result;

ssize_t pread64(int fd, void *out, size_t n, off64_t at) {
    COVERED(fd, ssize_t, seen_read(f, fd, out, n, at), REAL(pread64)(fd, out, n, at))
}
ssize_t pread(int fd, void *out, size_t n, off_t at) {
    COVERED(fd, ssize_t, seen_read(f, fd, out, n, at), REAL(pread64)(fd, out, n, at))
}
ssize_t pwrite64(int fd, const void *in, size_t n, off64_t at) {
    COVERED(fd, ssize_t, kept_write(f, fd, in, n, at), REAL(pwrite64)(fd, in, n, at))
}
ssize_t pwrite(int fd, const void *in, size_t n, off_t at) {
    COVERED(fd, ssize_t, kept_write(f, fd, in, n, at), REAL(pwrite64)(fd, in, n, at))
}

static ssize_t moving_read(struct file *f, int fd, void *out, size_t n) {
    off64_t at = REAL(lseek64)(fd, 0, SEEK_CUR);
    ssize_t done = seen_read(f, fd, out, n, at);
    if (done > 0) REAL(lseek64)(fd, at + done, SEEK_SET);
    return done;
}
static ssize_t moving_write(struct file *f, int fd, const void *in, size_t n) {
    int flags = REAL(fcntl64)(fd, F_GETFL);
    off64_t at = flags >= 0 && (flags & O_APPEND) ? f->size : REAL(lseek64)(fd, 0, SEEK_CUR);
    ssize_t done = kept_write(f, fd, in, n, at);
    if (done > 0) REAL(lseek64)(fd, at + done, SEEK_SET);
    return done;
}
ssize_t read(int fd, void *out, size_t n) {
    COVERED(fd, ssize_t, moving_read(f, fd, out, n), REAL(read)(fd, out, n))
}
ssize_t write(int fd, const void *in, size_t n) {
    COVERED(fd, ssize_t, moving_write(f, fd, in, n), REAL(write)(fd, in, n))
}

static ssize_t many(struct file *f, int fd, const struct iovec *parts, int count, int writing) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = writing ? moving_write(f, fd, parts[i].iov_base, parts[i].iov_len)
                            : moving_read(f, fd, parts[i].iov_base, parts[i].iov_len);
        if (n < 0) return total ? total : -1;
        total += n;
        if ((size_t)n < parts[i].iov_len) break;
    }
    return total;
}
ssize_t readv(int fd, const struct iovec *parts, int count) {
    COVERED(fd, ssize_t, many(f, fd, parts, count, 0), REAL(readv)(fd, parts, count))
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    COVERED(fd, ssize_t, many(f, fd, parts, count, 1), REAL(writev)(fd, parts, count))
}

static off64_t seek(struct file *f, int fd, off64_t by, int whence) {
    if (whence == SEEK_END) return REAL(lseek64)(fd, f->size + by, SEEK_SET);
    return REAL(lseek64)(fd, by, whence);
}
off64_t lseek64(int fd, off64_t by, int whence) {
    COVERED(fd, off64_t, seek(f, fd, by, whence), REAL(lseek64)(fd, by, whence))
}
off_t lseek(int fd, off_t by, int whence) {
    COVERED(fd, off64_t, seek(f, fd, by, whence), REAL(lseek64)(fd, by, whence))
}
int ftruncate64(int fd, off64_t size) { COVERED(fd, int, resize(f, size), REAL(ftruncate64)(fd, size)) }
int ftruncate(int fd, off_t size) { COVERED(fd, int, resize(f, size), REAL(ftruncate64)(fd, size)) }

static int grow(struct file *f, off64_t at, off64_t n) { return at + n > f->size ? resize(f, at + n) : 0; }
int posix_fallocate64(int fd, off64_t at, off64_t n) {
    COVERED(fd, int, grow(f, at, n), REAL(posix_fallocate64)(fd, at, n))
}
int posix_fallocate(int fd, off_t at, off_t n) {
    COVERED(fd, int, grow(f, at, n), REAL(posix_fallocate64)(fd, at, n))
}
static int no_fallocate(void) {
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate64(int fd, int mode, off64_t at, off64_t n) {
    COVERED(fd, int, no_fallocate(), REAL(fallocate64)(fd, mode, at, n))
}
int fallocate(int fd, int mode, off_t at, off_t n) {
    COVERED(fd, int, no_fallocate(), REAL(fallocate64)(fd, mode, at, n))
}

static int flush(struct file *f, int fd, int (*real)(int)) { return apply(f, fd) < 0 ? -1 : real(fd); }
int fsync(int fd) { COVERED(fd, int, flush(f, fd, REAL(fsync)), REAL(fsync)(fd)) }
int fdatasync(int fd) { COVERED(fd, int, flush(f, fd, REAL(fdatasync)), REAL(fdatasync)(fd)) }

/* Sizes as the process sees them. */
static int sized(int result, struct stat64 *st) {
    if (result) return result;
    pthread_mutex_lock(&lock);
    struct file *f = of_inode(st->st_dev, st->st_ino);
    if (f) st->st_size = f->size;
    pthread_mutex_unlock(&lock);
    return 0;
}
int fstat64(int fd, struct stat64 *st) { load(); return sized(REAL(fstat64)(fd, st), st); }
int fstat(int fd, struct stat *st) { return fstat64(fd, (struct stat64 *)st); }
int stat64(const char *path, struct stat64 *st) { load(); return sized(REAL(stat64)(path, st), st); }
int stat(const char *path, struct stat *st) { return stat64(path, (struct stat64 *)st); }
int lstat64(const char *path, struct stat64 *st) { load(); return sized(REAL(lstat64)(path, st), st); }
int lstat(const char *path, struct stat *st) { return lstat64(path, (struct stat64 *)st); }
int fstatat64(int dir, const char *path, struct stat64 *st, int flags) {
    load();
    return sized(REAL(fstatat64)(dir, path, st, flags), st);
}
int fstatat(int dir, const char *path, struct stat *st, int flags) {
    return fstatat64(dir, path, (struct stat64 *)st, flags);
}
int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st) {
    load();
    int result = REAL(statx)(dir, path, flags, mask, st);
    if (result) return result;
    pthread_mutex_lock(&lock);
    for (struct file *f = files; f; f = f->next)
        if (f->ino == st->stx_ino) st->stx_size = f->size;
    pthread_mutex_unlock(&lock);
    return 0;
}

/* A removed inode's number may come again: nothing of it may be left. */
static int removing(const struct stat64 *st, int known, int result) {
    if (result || !known || st->st_nlink > 1) return result;
    pthread_mutex_lock(&lock);
    struct file *f = of_inode(st->st_dev, st->st_ino);
    if (f && f->opens == 0) forget(f);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) {
    load();
    struct stat64 st;
    int known = !REAL(lstat64)(path, &st);
    return removing(&st, known, REAL(unlink)(path));
}
int unlinkat(int dir, const char *path, int flags) {
    load();
    struct stat64 st;
    int known = !REAL(fstatat64)(dir, path, &st, AT_SYMLINK_NOFOLLOW);
    return removing(&st, known, REAL(unlinkat)(dir, path, flags));
}
int rename(const char *from, const char *to) {
    load();
    struct stat64 st;
    int known = !REAL(lstat64)(to, &st);
    return removing(&st, known, REAL(rename)(from, to));
}

static int control(int fd, int command, void *argument) {
    load();
    int result = REAL(fcntl64)(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}
#define ARGUMENT(last) \
    va_list list; \
    va_start(list, last); \
    void *argument = va_arg(list, void *); \
    va_end(list);
int fcntl64(int fd, int command, ...) {
    ARGUMENT(command)
    return control(fd, command, argument);
}
int fcntl(int fd, int command, ...) {
    ARGUMENT(command)
    return control(fd, command, argument);
}
int dup(int fd) { load(); return copied(fd, REAL(dup)(fd)); }
static void replaced(int fd, int to) {
    pthread_mutex_lock(&lock);
    if (fd != to) leave(to);
    pthread_mutex_unlock(&lock);
}
int dup2(int fd, int to) { load(); replaced(fd, to); return fd == to ? REAL(dup2)(fd, to) : copied(fd, REAL(dup2)(fd, to)); }
int dup3(int fd, int to, int flags) { load(); replaced(fd, to); return copied(fd, REAL(dup3)(fd, to, flags)); }

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset) {
    load();
    if (!(flags & MAP_ANONYMOUS) && fd >= 0) {
        pthread_mutex_lock(&lock);
        struct file *f = of_fd(fd);
        pthread_mutex_unlock(&lock);
        if (f) {
            errno = ENODEV;
            return MAP_FAILED;
        }
    }
    return REAL(mmap64)(at, n, protection, flags, fd, offset);
}
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, n, protection, flags, fd, offset);
}
