// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that use a device that is too small for them, and are killed at any
 * moment: what they leave behind is on its way to the device, on its way home,
 * or evicted at that time. 10 s, or 60 s with LONG=1.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define WORKERS		8
#define DEVICE_MIB	8
#define LEN		(DEVICE_MIB * MiB)
/* Longer than this no process takes to end. */
#define END_MS		30000

static unsigned int storm_ms(void)
{
	const char *s = getenv("LONG");

	return s && !strcmp(s, "1") ? 60000 : 10000;
}

/* A sequence of its own, the same in every run. */
static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

struct worker {
	int fd;
	uint8_t *buf;
};

/* What may happen to a prefetch in a storm. */
static bool may_be(int err)
{
	return !err || err == -ENOSPC || err == -EBUSY;
}

static void *move(void *arg)
{
	struct worker *w = arg;

	int err;

	do {
		err = to_device(w->fd, w->buf, LEN);
	} while (may_be(err));
	fprintf(stderr, "# the prefetch failed: %d\n", err);
	_exit(3);
}

/* One worker: never returns but with an error that is none of the storm's. */
static int work(int advice, bool drop)
{
	struct worker w = { npu_open(0), buf_alloc(LEN) };
	uint32_t state = 1;
	uint8_t round = 0;
	pthread_t mover;
	int i;

	if (madvise(w.buf, LEN, advice))
		return 2;
	if (drop && pthread_create(&mover, NULL, move, &w))
		return 2;
	for (;;) {
		/* It may be on its way. */
		if (drop && madvise(w.buf, LEN, MADV_DONTNEED))
			return 2;
		memset(w.buf, ++round, LEN);
		if (!drop && !may_be(to_device(w.fd, w.buf, LEN)))
			return 3;
		/* A few only, so that others stay on the device. */
		for (i = 0; i < 8; i++) {
			if (w.buf[next(&state) % LEN] != round)
				return 4;
		}
	}
}

static pid_t start(int advice, bool drop)
{
	pid_t pid = fork();

	if (!pid) {
		/* What a failed test leaves is in the way of others. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(work(advice, drop));
	}
	return pid;
}

FIXTURE(storm)
{
	int fd;
};

FIXTURE_VARIANT(storm)
{
	int advice;
	bool drop;
};

FIXTURE_VARIANT_ADD(storm, huge_pages) { .advice = MADV_HUGEPAGE };
FIXTURE_VARIANT_ADD(storm, small_pages) { .advice = MADV_NOHUGEPAGE };
/* Another thread throws away what is moving, and makes it anew. */
FIXTURE_VARIANT_ADD(storm, dropped) { .advice = MADV_HUGEPAGE, .drop = true };

FIXTURE_SETUP(storm)
{
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = DEVICE_MIB });
	self->fd = npu_open(0);
}

FIXTURE_TEARDOWN(storm)
{
	close(self->fd);
}

TEST_F_TIMEOUT(storm, killed_at_any_moment, 300)
{
	uint32_t seed = 10;
	pid_t pids[WORKERS];
	uint64_t end;
	int i, kills = 0;

	for (i = 0; i < WORKERS; i++) {
		pids[i] = start(variant->advice, variant->drop);
		ASSERT_LT(0, pids[i]);
	}
	for (end = now_ms() + storm_ms(); now_ms() < end; kills++) {
		sleep_ms(next(&seed) % 32);
		i = next(&seed) % WORKERS;
		kill(pids[i], SIGKILL);
		ASSERT_EQ(-SIGKILL, child_result(pids[i], END_MS));
		pids[i] = start(variant->advice, variant->drop);
		ASSERT_LT(0, pids[i]);
	}
	TH_LOG("%d processes were killed", kills);
	for (i = 0; i < WORKERS; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(-SIGKILL, child_result(pids[i], END_MS));
	/* Nobody is left, so nothing is. */
	EXPECT_TRUE(npu_wait_free(self->fd, LEN, END_MS));
	EXPECT_LT(0, npu_stat(0, "evicted"));
}

GMEM_TEST_MAIN
