// SPDX-License-Identifier: GPL-2.0
/*
 * What is done under one hold of a lock that others wait for, on a device of
 * 1 GiB that many want: not more than a little, however much there is to do.
 */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#define HOLDS	"/sys/kernel/debug/gmem/holds"
#define WORKERS	4

#define EXPECT_WITHIN(most, what) do {					\
	long long nr = file_find(HOLDS, what);				\
	EXPECT_LT(0, nr) TH_LOG("nobody did: %s", what);		\
	EXPECT_GE(most, nr) TH_LOG("too many: %s", what);		\
} while (0)

FIXTURE(bounds)
{
	int fd;
	size_t total;
};

FIXTURE_SETUP(bounds)
{
	if (access(HOLDS, F_OK))
		SKIP(return, "no debugfs");
	npu_unload();
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 1024 });
	self->fd = npu_open(0);
	self->total = npu_info(self->fd).mem_total;
}

FIXTURE_TEARDOWN(bounds)
{
	EXPECT_TRUE(npu_wait_free(self->fd, self->total, 10000));
	close(self->fd);
	npu_unload();
}

/* Fill and read again; returns an exit code. */
static int work(size_t len, int advice, uint8_t byte)
{
	int fd = npu_open(0), pass;
	char *buf = buf_alloc(len);
	size_t i;

	if (madvise(buf, len, advice))
		return 1;
	for (i = 0; i < len; i += BLOCK) {
		if (npu_run1(fd, cmd_fill(buf + i, byte, BLOCK)))
			return 2;
	}
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < len; i += BLOCK) {
			if (npu_run1(fd, cmd_read(buf + i, BLOCK)))
				return 3;
		}
	}
	/* Some of it is still there, and comes home by CPU faults. */
	for (i = 0; i < len; i += 16 * BLOCK) {
		if (!buf_is(buf + i, BLOCK, byte))
			return 4;
	}
	return 0;
}

/* All copies of a large mapping go at once. */
TEST_F_TIMEOUT(bounds, copies, 120)
{
	size_t len = 64 * MiB, i;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 3);
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_READ_MOSTLY));
	for (i = 0; i < len; i += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd, cmd_read(buf + i, BLOCK)));
	ASSERT_EQ(len, copied(0));
	/* One call of the notifier. */
	ASSERT_EQ(0, mprotect(buf, len, PROT_NONE));
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(64, file_find(HOLDS, "copies"));
	ASSERT_EQ(0, mprotect(buf, len, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(buf_check(buf, len, 3));
	munmap(buf, len);
}

/* Blocks and small pages of several processes push each other out. */
TEST_F_TIMEOUT(bounds, eviction, 300)
{
	size_t len = self->total / WORKERS + 16 * BLOCK;
	pid_t pids[WORKERS];
	int i;

	for (i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(work(len, i % 2 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE,
				   i + 1));
	}
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, child_result(pids[i], 280000));
	EXPECT_LT(0, npu_info(self->fd).evicted);
	EXPECT_WITHIN(64, "candidates");
	EXPECT_WITHIN(64, "chunks");
	EXPECT_WITHIN(512, "pages");
	EXPECT_WITHIN(50, "wait_ms");
}

GMEM_TEST_MAIN
