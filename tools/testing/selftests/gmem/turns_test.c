// SPDX-License-Identifier: GPL-2.0
/* Users of one NPU: their jobs take turns. */
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define HOGS	3
#define JOBS	8

FIXTURE(turns)
{
	int hog[HOGS], fd;
};

FIXTURE_SETUP(turns)
{
	int i, j;

	for (i = 0; i < HOGS; i++) {
		self->hog[i] = npu_open(0);
		for (j = 0; j < JOBS; j++) {
			struct npu_cmd cmds[] = { cmd_nop(10000000), cmd_nop(10000000) };

			ASSERT_NE(0, npu_start(self->hog[i], cmds, ARRAY_SIZE(cmds)));
		}
	}
	self->fd = npu_open(0);
}

FIXTURE_TEARDOWN(turns)
{
	int i;

	for (i = 0; i < HOGS; i++)
		close(self->hog[i]);
	close(self->fd);
}

/* Jobs of 20 s on more files than there are cores, and jobs of 1 us. */
TEST_F_TIMEOUT(turns, short_jobs_do_not_wait_for_long_ones, 60)
{
	uint64_t start = now_ms();
	int i;

	for (i = 0; i < 10; i++)
		EXPECT_EQ(0, npu_run1(self->fd, cmd_nop(1)));
	/* Each one waits for some turns of 10 ms. */
	EXPECT_GT(5000, now_ms() - start);
	EXPECT_TRUE(npu_busy(self->hog[0]));
}

/* A job that was put back goes on where it was, before the next one of its file. */
TEST_F_TIMEOUT(turns, a_job_is_done_once_and_in_order, 60)
{
	uint64_t *words = buf_alloc(BLOCK);
	struct npu_cmd cmds[] = {
		cmd_add(words, 1, 100000), cmd_nop(30000), cmd_add(words, 1, 7),
		cmd_nop(30000), cmd_copy(words + 1, words, 8),
	};
	struct npu_cmd next = cmd_copy(words + 2, words + 1, 8);
	uint64_t first, second;
	struct npu_wait result;

	first = npu_start(self->fd, cmds, ARRAY_SIZE(cmds));
	second = npu_start(self->fd, &next, 1);
	ASSERT_EQ(0, npu_wait(self->fd, second, 50000, &result));
	EXPECT_EQ(0, result.status);
	ASSERT_EQ(0, npu_wait(self->fd, first, 0, &result));
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(100007, words[0]);
	EXPECT_EQ(100007, words[1]);
	EXPECT_EQ(100007, words[2]);
	munmap(words, BLOCK);
}

/* Closing a file whose job was put back does not wait for its turns. */
TEST_F_TIMEOUT(turns, closing_ends_what_was_put_back, 60)
{
	uint64_t start = now_ms();
	int i;

	for (i = 0; i < HOGS; i++) {
		close(self->hog[i]);
		self->hog[i] = npu_open(0);
	}
	EXPECT_EQ(0, npu_run1(self->fd, cmd_nop(1)));
	EXPECT_GT(5000, now_ms() - start);
}

GMEM_TEST_MAIN
