// SPDX-License-Identifier: GPL-2.0
/* Memory, files, processes and fault injection for the GMEM tests. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kselftest.h"
#include "gmem_util.h"

#define PM_SWAP		(1ULL << 62)
/* The swap types of device-private pages: last but one to three of 32. */
#define TYPE_DEVICE_FIRST	28
#define TYPE_DEVICE_LAST	29
#define TYPE_SWAPFILE_LAST	23

size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

bool test_small(void)
{
	const char *s = getenv("GMEM_TEST_SMALL");

	return s && *s && strcmp(s, "0");
}

int scaled(int normal, int small)
{
	return test_small() ? small : normal;
}

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "# gmem_util: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	fflush(NULL);
	_exit(KSFT_FAIL);
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

void sleep_ms(unsigned int ms)
{
	poll(NULL, 0, ms);
}

long hmadvise(int hnid, const void *start, size_t len, int behavior)
{
	long ret = syscall(__NR_hmadvise, hnid, start, len, behavior);

	return ret < 0 ? -errno : ret;
}

void *buf_alloc_flags(size_t len, int flags)
{
	size_t align = len >= BLOCK ? BLOCK : page_size();
	char *map, *buf;

	/* Only the aligned part keeps its mapping, so neighbours never merge. */
	map = mmap(NULL, len + align, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		die("no room for %zu bytes", len);
	buf = (char *)(((uintptr_t)map + align - 1) & ~(align - 1));
	if (mmap(buf, len, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_ANONYMOUS | flags, -1, 0) == MAP_FAILED)
		die("mmap of %zu bytes, flags %#x: %s", len, flags,
		    strerror(errno));
	return buf;
}

void *buf_alloc(size_t len)
{
	return buf_alloc_flags(len, MAP_PRIVATE | MAP_PEER_SHARED);
}

static uint32_t pattern(uint32_t seed, size_t i)
{
	uint32_t x = (seed + 1) * 2654435761u + (uint32_t)i;

	x = (x ^ x >> 15) * 2246822519u;
	return x ^ x >> 13;
}

void buf_fill(void *buf, size_t len, uint32_t seed)
{
	uint32_t *p = buf;
	size_t i;

	for (i = 0; i < len / 4; i++)
		p[i] = pattern(seed, i);
}

bool buf_check(const void *buf, size_t len, uint32_t seed)
{
	const uint32_t *p = buf;
	size_t i;

	for (i = 0; i < len / 4; i++) {
		if (p[i] != pattern(seed, i)) {
			fprintf(stderr, "# word %zu of %p is %#x, not %#x\n",
				i, buf, p[i], pattern(seed, i));
			return false;
		}
	}
	return true;
}

bool buf_is(const void *buf, size_t len, uint8_t byte)
{
	const uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] != byte) {
			fprintf(stderr, "# byte %zu of %p is %#x, not %#x\n",
				i, buf, p[i], byte);
			return false;
		}
	}
	return true;
}

static size_t count_types(const void *buf, size_t len, unsigned int first,
			  unsigned int last)
{
	size_t page = page_size(), nr = (len + page - 1) / page, count = 0, i;
	uint64_t *entries = malloc(nr * sizeof(*entries));
	off_t offset = (uintptr_t)buf / page * sizeof(*entries);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (!entries || fd < 0)
		die("cannot open pagemap");
	got = pread(fd, entries, nr * sizeof(*entries), offset);
	if (got != (ssize_t)(nr * sizeof(*entries)))
		die("pagemap gives %zd of %zu bytes", got, nr * sizeof(*entries));
	for (i = 0; i < nr; i++) {
		unsigned int type = entries[i] & 31;

		if (entries[i] & PM_SWAP && type >= first && type <= last)
			count++;
	}
	close(fd);
	free(entries);
	return count;
}

size_t pages_on_device(const void *buf, size_t len)
{
	return count_types(buf, len, TYPE_DEVICE_FIRST, TYPE_DEVICE_LAST);
}

size_t pages_swapped(const void *buf, size_t len)
{
	return count_types(buf, len, 0, TYPE_SWAPFILE_LAST);
}

bool on_device(const void *buf, size_t len)
{
	size_t page = page_size(), nr = (len + page - 1) / page;
	size_t have = pages_on_device(buf, len);

	if (have != nr)
		fprintf(stderr, "# %zu of %zu pages are on a device\n", have, nr);
	return have == nr;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t got;
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while ((got = read(fd, text + len, size - 1 - len)) > 0)
		len += got;
	if (got < 0)
		err = -errno;
	text[len] = '\0';
	close(fd);
	return err ?: (int)len;
}

long long file_find(const char *path, const char *key)
{
	char line[256];
	long long value = -1, v;
	size_t len = strlen(key);
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || !strchr(": \t", line[len]))
			continue;
		if (sscanf(line + len + (line[len] == ':'), "%lld", &v) == 1) {
			value = v;
			break;
		}
	}
	fclose(f);
	return value;
}

bool smaps_has_flag(const void *addr, const char *flag)
{
	char line[512], word[8];
	unsigned long start, end;
	bool inside = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "re");

	if (!f)
		die("cannot open smaps");
	snprintf(word, sizeof(word), " %s ", flag);
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)addr >= start && (uintptr_t)addr < end;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, word);
	}
	fclose(f);
	return found;
}

static int fail_attr(const char *name, const char *attr, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", name, attr);
	return file_write(path, value);
}

/* Enough for every test; "-1", for ever, would not tell how many were used. */
#define FAIL_TIMES	1000000000
static int fail_given;

int fail_start(const char *name, int probability, int times)
{
	char number[16];
	int err;

	fail_given = times < 0 ? FAIL_TIMES : times;
	snprintf(number, sizeof(number), "%d", fail_given);
	err = fail_attr(name, "times", number);
	err = err ?: fail_attr(name, "interval", "1");
	err = err ?: fail_attr(name, "space", "0");
	err = err ?: fail_attr(name, "verbose", "0");
	err = err ?: fail_attr(name, "task-filter", "N");
	snprintf(number, sizeof(number), "%d", probability);
	return err ?: fail_attr(name, "probability", number);
}

int fail_nth(const char *name, unsigned int nth)
{
	char number[16];
	int err = fail_start(name, 0, 1);

	/* Each call takes one of the space, and the last one finds too little. */
	snprintf(number, sizeof(number), "%u", nth);
	err = err ?: fail_attr(name, "space", number);
	return err ?: fail_attr(name, "probability", "100");
}

int fail_stop(const char *name)
{
	char path[256], text[32];
	int err;

	err = fail_attr(name, "probability", "0");
	if (err)
		return err;
	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/times", name);
	err = file_read(path, text, sizeof(text));
	if (err < 0)
		return err;
	return fail_given - atoi(text);
}

void baton_make(struct baton *baton)
{
	if (pipe(baton->fd))
		die("pipe: %s", strerror(errno));
}

void baton_pass(struct baton *baton)
{
	if (write(baton->fd[1], "x", 1) != 1)
		die("baton: %s", strerror(errno));
}

void baton_take(struct baton *baton)
{
	struct pollfd p = { .fd = baton->fd[0], .events = POLLIN };
	char c;

	if (poll(&p, 1, 20000) != 1 || read(baton->fd[0], &c, 1) != 1)
		die("baton: the other process did not pass it");
}

int child_result(pid_t pid, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got < 0)
			return -errno;
		if (got == pid)
			break;
		if (now_ms() > end) {
			kill(pid, SIGKILL);
			return -ETIME;
		}
		sleep_ms(1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
