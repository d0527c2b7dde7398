// SPDX-License-Identifier: GPL-2.0
/* MADV_PINNED: room that is kept. */
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_pin.h"
#include "numa_util.h"

/* How many pages are on NPU 0; what leaves it may go to the other one. */
static size_t pages_there(FIXTURE_DATA(pin) *self, const char *buf, size_t len)
{
	size_t nr = 0, at;

	for (at = 0; at < len; at += self->page)
		nr += page_node(buf + at) == self->node[0];
	return nr;
}

/* Use much more of NPU 0 than it has. */
static bool pressure(FIXTURE_DATA(pin) *self, unsigned int seed)
{
	size_t len = 4 * self->mem;
	uint64_t evicted = npu_info(self->fd[0]).evicted;
	char *buf = buf_alloc(len);
	bool good;
	size_t at;

	for (at = 0; at < len; at += BLOCK)
		*(uint64_t *)(buf + at) = seed + at;
	for (at = 0; at < len; at += self->mem / 2)
		if (npu_run1(self->fd[0], cmd_read(buf + at, self->mem / 2)))
			return false;
	good = npu_info(self->fd[0]).evicted - evicted >= 2 * self->mem;
	for (at = 0; at < len; at += BLOCK)
		good &= *(uint64_t *)(buf + at) == seed + at;
	munmap(buf, len);
	return good;
}

/* Use as much of NPU 0 as it has, again and again. */
static bool fill_up(FIXTURE_DATA(pin) *self)
{
	char *buf = buf_alloc(self->mem);
	bool good = true;
	int pass;

	for (pass = 0; pass < 6; pass++)
		good &= !npu_run1(self->fd[0], cmd_fill(buf, pass, self->mem));
	good &= buf_is(buf, self->mem, pass - 1);
	munmap(buf, self->mem);
	return good;
}

TEST_F_TIMEOUT(pin, survives_pressure, 120)
{
	size_t len = self->mem / 4;
	uint64_t faults, to_dev;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 1);
	ASSERT_EQ(0, pin(self, buf, len));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_EQ(len, vm_pin());

	to_dev = npu_info(self->fd[0]).to_dev;
	ASSERT_TRUE(pressure(self, 1));
	ASSERT_LT(to_dev, npu_info(self->fd[0]).to_dev);
	EXPECT_TRUE(on_device(buf, len));
	/* Nor did the NPU lose its mappings. */
	faults = npu_info(self->fd[0]).faults;
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_EQ(faults, npu_info(self->fd[0]).faults);
	EXPECT_TRUE(buf_check(buf, len, 1));

	/* Unpinned, it goes the way of all others. */
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_EQ(len / self->page, pages_there(self, buf, len));
	/* One walk over other memory would prove nothing against it. */
	ASSERT_TRUE(fill_up(self));
	EXPECT_LT(pages_there(self, buf, len), len / self->page);
	EXPECT_TRUE(buf_check(buf, len, 1));
}

/* The CPU is served; the room stays, and the device gets the page back. */
TEST_F_TIMEOUT(pin, survives_cpu_access, 120)
{
	size_t len = self->mem / 2;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 3);
	ASSERT_EQ(0, pin(self, buf, len));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_check(buf, len, 3));
	ASSERT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_EQ(len, vm_pin());
	buf_fill(buf, len, 4);

	/* Full of others, it has room for what is pinned all the same. */
	ASSERT_TRUE(pressure(self, 3));
	EXPECT_EQ(len, pinned(0));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_TRUE(buf_check(buf, len, 4));
	ASSERT_EQ(0, munmap(buf, len));
	EXPECT_EQ(0, pinned(0));
}

/* Going back evicts nobody: the room was never given away. */
TEST_F_TIMEOUT(pin, going_back_needs_no_eviction, 120)
{
	size_t len = self->mem / 4;
	char *buf = buf_alloc(len);
	uint64_t evicted;

	buf_fill(buf, len, 5);
	ASSERT_EQ(0, pin(self, buf, len));
	ASSERT_EQ(0, to_home(buf, len));
	ASSERT_TRUE(pressure(self, 4));
	evicted = npu_info(self->fd[0]).evicted;
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_EQ(evicted, npu_info(self->fd[0]).evicted);
	EXPECT_TRUE(buf_check(buf, len, 5));
	ASSERT_EQ(0, munmap(buf, len));
}

/* Pins of single pages, here and there, and what lies between them. */
TEST_F_TIMEOUT(pin, single_pages, 120)
{
	size_t page = self->page, len = BLOCK, i, nr = 0, there;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 6);
	for (i = 0; i < len / page; i += 3) {
		ASSERT_EQ(0, pin(self, buf + i * page, page));
		nr++;
	}
	EXPECT_EQ(nr * page, pinned(0));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	ASSERT_TRUE(pressure(self, 5));
	for (i = 0; i < len / page; i += 3)
		EXPECT_EQ(self->node[0], page_node(buf + i * page));
	/* The others did not, or not all of them. */
	there = pages_there(self, buf, len);
	EXPECT_LE(nr, there);
	EXPECT_GT(len / page, there);
	/* Half of them, then all, then none. */
	ASSERT_EQ(0, hmadvise(self->node[1], buf, len, MADV_UNPINNED));
	EXPECT_EQ(nr * page, pinned(0));
	ASSERT_EQ(0, hmadvise(self->node[0], buf, len / 2, MADV_UNPINNED));
	EXPECT_GT(nr * page, pinned(0));
	EXPECT_LT(0, pinned(0));
	ASSERT_EQ(0, pin(self, buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_check(buf, len, 6));
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(0));
}

TEST_F(pin, pinned_twice_is_charged_once)
{
	char *buf = buf_alloc(2 * BLOCK);
	struct attr seen;

	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, pin(self, buf, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK, pinned(0));
	/* To another device: it is one pin, and it moved. */
	ASSERT_EQ(0, hmadvise(self->node[1], buf, BLOCK, MADV_PINNED));
	EXPECT_EQ(BLOCK, pinned(0));
	EXPECT_EQ(BLOCK, pinned(1));
	EXPECT_EQ(2 * BLOCK, vm_pin());
	attr_read(buf, 1, &seen);
	EXPECT_EQ(self->node[1], seen.pinned);
	/* Accessed from elsewhere it does not move. */
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, self->page)));
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	ASSERT_EQ(0, hmadvise(-1, buf, 2 * BLOCK, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(1));
}

/* A pin comes before every other hint. */
TEST_F(pin, before_other_hints)
{
	char *buf = buf_alloc(BLOCK);

	buf_fill(buf, BLOCK, 7);
	ASSERT_EQ(0, hmadvise(HOME, buf, BLOCK, MADV_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(self->node[0], buf, BLOCK, MADV_ACCESSED_BY));
	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, to_home(buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_read(buf, BLOCK)));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, BLOCK, 7));
	ASSERT_EQ(0, munmap(buf, BLOCK));
}

GMEM_TEST_MAIN
