// SPDX-License-Identifier: GPL-2.0
/* A block that two sides want in turn stays at home, and both sides go on. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(thrash)
{
	int fd[2], turns;
	size_t len;
	volatile uint64_t *word;
	char *buf;
};

FIXTURE_VARIANT(thrash)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(thrash, small_block) { .len = 64 * KiB };
FIXTURE_VARIANT_ADD(thrash, block) { .len = BLOCK };

FIXTURE_SETUP(thrash)
{
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
	self->len = variant->len;
	/* Enough for long pauses, though a side may be late on a busy machine. */
	self->turns = 300;
	self->buf = buf_alloc(self->len);
	self->word = (void *)self->buf;
	buf_fill(self->buf, self->len, 1);
	*self->word = 0;
}

FIXTURE_TEARDOWN(thrash)
{
	munmap(self->buf, self->len);
	close(self->fd[0]);
	close(self->fd[1]);
}

static long long bounced(void)
{
	return npu_stat(0, "bounced") + npu_stat(1, "bounced");
}

TEST_F_TIMEOUT(thrash, cpu_and_device, 60)
{
	uint64_t moved = npu_info(self->fd[0]).to_dev;
	long long before = bounced();
	int i;

	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_add((void *)self->word, 1, 1)));
	ASSERT_TRUE(on_device(self->buf, page_size()));
	for (i = 0; i < self->turns; i++) {
		++*self->word;
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_add((void *)self->word, 1, 1)));
	}
	EXPECT_EQ(2 * self->turns + 1, *self->word);
	EXPECT_LT(before, bounced());
	/* Far less than a move for each turn. */
	moved = npu_info(self->fd[0]).to_dev - moved;
	EXPECT_GT(self->turns / 2 * self->len, moved) {
		TH_LOG("%d turns moved %llu KiB", self->turns,
		       (unsigned long long)moved >> 10);
	}
}

TEST_F_TIMEOUT(thrash, two_devices, 60)
{
	uint64_t moved = npu_info(self->fd[0]).peer + npu_info(self->fd[1]).peer;
	long long before = bounced();
	int i;

	for (i = 0; i < self->turns; i++) {
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_add((void *)self->word, 1, 1)));
		if (i == 0)
			ASSERT_TRUE(on_device(self->buf, page_size()));
		ASSERT_EQ(0, npu_run1(self->fd[1], cmd_add((void *)self->word, 1, 1)));
	}
	EXPECT_EQ(2 * self->turns, *self->word);
	EXPECT_LT(before, bounced());
	moved = npu_info(self->fd[0]).peer + npu_info(self->fd[1]).peer - moved;
	EXPECT_GT(self->turns * self->len, moved);
}

/* A pause: when it is quiet again the block may move. */
TEST_F_TIMEOUT(thrash, moves_again, 60)
{
	long long before = bounced();
	uint64_t end;
	int i;

	for (i = 0; i < self->turns && bounced() == before; i++) {
		++*self->word;
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_add((void *)self->word, 1, 1)));
	}
	ASSERT_LT(before, bounced());
	ASSERT_EQ(0, pages_on_device(self->buf, page_size()));
	/* The CPU leaves it alone. */
	for (end = now_ms() + 10000; !pages_on_device(self->buf, page_size());) {
		ASSERT_GT(end, now_ms());
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_add((void *)self->word, 1, 1)));
		sleep_ms(20);
	}
	EXPECT_TRUE(on_device(self->buf, page_size()));
}

/*
 * More blocks at a time than anybody has a list for: each of them moves again.
 * A few bounce at a time, so that a turn is short on a slow machine, too. The
 * pauses get longer each time, and so in the end there is one for all of them.
 */
TEST(many_blocks_move_again)
{
	enum { BLOCKS = 80, GROUP = 8, PAUSES = 6, STEP = 65536 };
	struct npu_cmd cmds[BLOCKS];
	long long before = bounced();
	size_t len = BLOCKS * STEP;
	char *buf = buf_alloc(len);
	int fd = npu_open(0), i, turn, first;
	uint64_t end;

	/* One page of each. */
	for (i = 0; i < BLOCKS; i++) {
		ASSERT_EQ(0, munmap(buf + i * STEP + page_size(), STEP - page_size()));
		cmds[i] = cmd_add((void *)(buf + i * STEP), 1, 1);
	}
	for (turn = 0; turn < PAUSES * BLOCKS / GROUP; turn++) {
		long long group = bounced();
		int tries;

		first = turn * GROUP % BLOCKS;
		for (tries = 0; tries < 20 && bounced() - group < GROUP; tries++) {
			for (i = first; i < first + GROUP; i++)
				++*(volatile uint64_t *)(buf + i * STEP);
			ASSERT_EQ(0, npu_run(fd, cmds + first, GROUP));
		}
	}
	ASSERT_LT(3 * BLOCKS, bounced() - before);
	for (end = now_ms() + 15000;;) {
		size_t there = 0;

		for (i = 0; i < BLOCKS; i++)
			there += pages_on_device(buf + i * STEP, page_size());
		if (there == BLOCKS)
			break;
		ASSERT_GT(end, now_ms()) {
			TH_LOG("%zu blocks of %d moved", there, BLOCKS);
		}
		ASSERT_EQ(0, npu_run(fd, cmds, BLOCKS));
		sleep_ms(20);
	}
	munmap(buf, len);
	close(fd);
}

GMEM_TEST_MAIN
