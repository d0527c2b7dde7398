// SPDX-License-Identifier: GPL-2.0
/*
 * LD_PRELOAD: what a program maps without a file is peer-shared, and devices pull
 * some of it every now and then. For programs that check their memory themselves.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/gmem.h>
#include <drm/npu_stub.h>

#ifndef MAP_PEER_SHARED
#define MAP_PEER_SHARED	0x200000
#endif
#ifndef __NR_hmadvise
#define __NR_hmadvise	472
#endif
#define NPUS		2
#define SLOTS		64
#define WORTH_IT	65536	/* bytes */

/* What was mapped last; it may be gone. */
static struct {
	_Atomic uintptr_t start;
	_Atomic size_t len;
} slots[SLOTS];
static atomic_uint next;
/* The process that has a thread. */
static _Atomic pid_t pulling;

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int npu_open(int index, int *hnid)
{
	struct npu_info info;
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/accel/npu%d", index);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		snprintf(path, sizeof(path), "/dev/npu%d", index);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (fd >= 0 && !ioctl(fd, NPU_IOC_INFO, &info))
		*hnid = info.hnid;
	return fd;
}

static void read_by(int fd, uintptr_t start, size_t len)
{
	struct npu_cmd cmd = { .op = NPU_OP_READ, .src0 = start, .len = len };
	struct npu_submit submit = {
		.cmds = (uintptr_t)&cmd, .nr_cmds = 1, .eventfd = -1,
	};
	struct npu_wait result = { .timeout_ns = 1000000000 };

	if (ioctl(fd, NPU_IOC_SUBMIT, &submit))
		return;
	result.job = submit.job;
	ioctl(fd, NPU_IOC_WAIT, &result);
}

static void *pull(void *arg)
{
	uint64_t state = 0x9e3779b97f4a7c15ULL ^ getpid();
	int fd[NPUS], hnid[NPUS] = { -1, -1 }, i;

	for (i = 0; i < NPUS; i++)
		fd[i] = npu_open(i, &hnid[i]);
	for (;;) {
		unsigned int slot = draw(&state) % SLOTS;
		uintptr_t start = slots[slot].start;
		size_t pages = slots[slot].len / 4096, first;

		usleep(draw(&state) % 2000);
		if (!pages)
			continue;
		first = draw(&state) % pages;
		pages = draw(&state) % (pages - first) % 512 + 1;
		i = draw(&state) % NPUS;
		if (draw(&state) & 1)
			syscall(__NR_hmadvise, hnid[i], start + first * 4096,
				pages * 4096, MADV_PREFETCH);
		else
			read_by(fd[i], start + first * 4096, pages * 4096);
	}
	return NULL;
}

static void start(void)
{
	pid_t me = syscall(SYS_getpid), none = pulling;
	sigset_t every, before;
	pthread_t thread;

	if (none == me || !atomic_compare_exchange_strong(&pulling, &none, me))
		return;
	/* The program's signals are for the program's threads. */
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	if (!pthread_create(&thread, NULL, pull, NULL))
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	bool ours = flags & MAP_ANONYMOUS && !(flags & (MAP_HUGETLB | MAP_GROWSDOWN));
	void *p;

	if (ours)
		flags |= MAP_PEER_SHARED;
	p = (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
	if (p != MAP_FAILED && ours && len >= WORTH_IT) {
		unsigned int slot = next++ % SLOTS;

		slots[slot].len = 0;
		slots[slot].start = (uintptr_t)p;
		slots[slot].len = len;
		start();
	}
	return p;
}

void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
