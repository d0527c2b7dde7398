// SPDX-License-Identifier: GPL-2.0
/*
 * What common operations cost who has no device. For scripts/bench-nonusers, in a
 * guest whose clock counts instructions; it needs no GMEM in the kernel. Prints
 * "NAME VALUE" lines: instructions an operation, and bytes a memory cgroup.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest.h"

#define KIB	1024UL
#define MIB	(1024 * KIB)
#define BLOCK	(2 * MIB)
#define PAGE	(4 * KIB)
#define ROOT	"/sys/fs/cgroup"
#define ROUNDS	7
#define CGROUPS	2000

#define CHECK(ok)							\
	do {								\
		if (!(ok)) {						\
			perror(#ok);					\
			exit(1);					\
		}							\
	} while (0)

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Address space of @len bytes at a multiple of BLOCK; nothing of it is touched. */
static char *area(size_t len, int advice)
{
	char *p = mmap(NULL, len + BLOCK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *start;

	CHECK(p != MAP_FAILED);
	start = (char *)(((unsigned long)p + BLOCK - 1) & ~(BLOCK - 1));
	if (start > p)
		munmap(p, start - p);
	munmap(start + len, p + BLOCK - start);
	CHECK(!madvise(start, len, advice));
	return start;
}

static void touch(char *p, size_t len, size_t step)
{
	size_t at;

	for (at = 0; at < len; at += step)
		((volatile char *)p)[at] = 1;
}

static void do_fault_small(void)
{
	char *p = area(8 * MIB, MADV_NOHUGEPAGE);

	touch(p, 8 * MIB, PAGE);
	munmap(p, 8 * MIB);
}

static void do_fault_huge(void)
{
	char *p = area(32 * MIB, MADV_HUGEPAGE);

	touch(p, 32 * MIB, BLOCK);
	munmap(p, 32 * MIB);
}

static void do_fork(void)
{
	static char *p;
	int i, status;

	if (!p) {
		p = area(4 * MIB, MADV_NOHUGEPAGE);
		touch(p, 4 * MIB, PAGE);
	}
	for (i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
	}
}

static void do_mmap(void)
{
	int i;

	for (i = 0; i < 2000; i++) {
		char *p = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(p != MAP_FAILED && !munmap(p, 64 * KIB));
	}
}

static void do_mremap(void)
{
	static char *from, *to;
	int i;

	if (!from) {
		from = area(BLOCK, MADV_NOHUGEPAGE);
		to = area(BLOCK, MADV_NOHUGEPAGE);
		touch(from, 64 * KIB, PAGE);
	}
	for (i = 0; i < 1000; i++) {
		char *other = from;

		CHECK(mremap(from, 64 * KIB, 64 * KIB, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to) == to);
		from = to;
		to = other;
	}
}

static void do_mprotect(void)
{
	static char *p;
	int i;

	if (!p) {
		p = area(BLOCK, MADV_NOHUGEPAGE);
		touch(p, BLOCK, PAGE);
	}
	for (i = 0; i < 1000; i++) {
		CHECK(!mprotect(p, 64 * KIB, PROT_READ));
		CHECK(!mprotect(p, 64 * KIB, PROT_READ | PROT_WRITE));
	}
}

static const struct operation {
	const char *name;
	void (*run)(void);
	unsigned int times;
} operations[] = {
	{ "page fault, 4 KiB", do_fault_small, 8 * MIB / PAGE },
	{ "page fault, huge", do_fault_huge, 16 },
	{ "fork+exit", do_fork, 20 },
	{ "mmap+munmap", do_mmap, 2000 },
	{ "mremap", do_mremap, 1000 },
	{ "mprotect", do_mprotect, 2000 },
};

/* The memory of what cgroups are made of, in bytes. */
static long long cgroup_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	long long sum = 0, kib;
	char line[128];

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %lld", &kib) == 1 ||
		    sscanf(line, "Percpu: %lld", &kib) == 1)
			sum += kib;
	fclose(f);
	return sum * 1024;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f && fputs(text, f) >= 0 && !fclose(f));
}

static void cgroups(void)
{
	unsigned long long start, spent = 0;
	long long before = 0;
	char path[64];
	int i;

	write_file(ROOT "/cgroup.subtree_control", "+memory");
	/* The first ones fill caches. */
	for (i = -50; i < CGROUPS; i++) {
		if (!i)
			before = cgroup_memory();
		snprintf(path, sizeof(path), ROOT "/nonusers%d", i);
		start = now();
		CHECK(!mkdir(path, 0755));
		if (i >= 0)
			spent += now() - start;
	}
	printf("cgroup mkdir\t%llu\n", spent / CGROUPS);
	printf("memory per cgroup\t%lld\n", (cgroup_memory() - before) / CGROUPS);
}

int main(void)
{
	size_t i;
	int round;

	for (i = 0; i < ARRAY_SIZE(operations); i++) {
		const struct operation *op = &operations[i];
		unsigned long long best = -1ULL;

		for (round = 0; round < ROUNDS; round++) {
			unsigned long long start = now(), spent;

			op->run();
			spent = now() - start;
			if (round && spent < best)
				best = spent;
		}
		printf("%s\t%llu\n", op->name, best / op->times);
		fflush(stdout);
	}
	cgroups();
	return 0;
}
