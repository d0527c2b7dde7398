// SPDX-License-Identifier: GPL-2.0
/* Accesses that memory does not allow: the job fails, nothing else does. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define PAGES 8

FIXTURE(access)
{
	int fd;
	size_t page;
	char *buf, *good;
};

FIXTURE_VARIANT(access)
{
	bool no_faults;
};

FIXTURE_VARIANT_ADD(access, replayable) { .no_faults = false };
FIXTURE_VARIANT_ADD(access, prepared) { .no_faults = true };

FIXTURE_SETUP(access)
{
	npu_require(&(struct npu_config){ .no_faults = variant->no_faults });
	self->fd = npu_open(0);
	self->page = page_size();
	self->buf = buf_alloc(PAGES * self->page);
	self->good = buf_alloc(self->page);
	buf_fill(self->buf, PAGES * self->page, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, PAGES * self->page));
	ASSERT_TRUE(on_device(self->buf, PAGES * self->page));
}

/* The NPU still works after what it was asked. */
FIXTURE_TEARDOWN(access)
{
	/* A page that did not bounce between the CPU and the device. */
	self->good = buf_alloc(BLOCK);
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->good, 0x99, self->page)));
	EXPECT_TRUE(on_device(self->good, self->page));
	EXPECT_TRUE(buf_is(self->good, self->page, 0x99));
	close(self->fd);
}

/* Run between two good commands and return the status of the job. */
static int run_between(int fd, char *good, struct npu_cmd cmd,
		       struct npu_wait *result)
{
	struct npu_cmd cmds[] = {
		cmd_fill(good, 0x21, 16), cmd, cmd_fill(good + 16, 0x22, 16),
	};

	return npu_run_result(fd, cmds, ARRAY_SIZE(cmds), result);
}

#define EXPECT_FAULT(cmd_, addr_) do {						\
	struct npu_wait r_;							\
	EXPECT_EQ(-EFAULT, run_between(self->fd, self->good, cmd_, &r_));	\
	EXPECT_EQ(1, r_.cmd);							\
	EXPECT_EQ((uintptr_t)(addr_) & -self->page, r_.fault_addr & -self->page); \
	EXPECT_TRUE(on_device(self->good, self->page));				\
	EXPECT_TRUE(buf_is(self->good, 16, 0x21));				\
	EXPECT_TRUE(buf_is(self->good + 16, 16, 0));				\
	memset(self->good, 0, self->page);					\
} while (0)

TEST_F(access, read_only)
{
	size_t len = PAGES * self->page;

	ASSERT_EQ(0, mprotect(self->buf, len, PROT_READ));
	ASSERT_TRUE(on_device(self->buf, len));
	EXPECT_FAULT(cmd_fill(self->buf, 0, len), self->buf);
	ASSERT_TRUE(on_device(self->buf, len));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_read(self->buf, len)));
	EXPECT_TRUE(buf_check(self->buf, len, 1));
	/* The same for pages at home. */
	EXPECT_EQ(0, pages_on_device(self->buf, len));
	EXPECT_FAULT(cmd_fill(self->buf, 0, len), self->buf);
	EXPECT_TRUE(buf_check(self->buf, len, 1));
}

TEST_F(access, read_only_in_the_middle)
{
	char *middle = self->buf + 4 * self->page;

	buf_fill(middle, self->page, 2);
	ASSERT_EQ(0, to_device(self->fd, self->buf, PAGES * self->page));
	ASSERT_EQ(0, mprotect(middle, self->page, PROT_READ));
	ASSERT_TRUE(on_device(self->buf, PAGES * self->page));
	EXPECT_FAULT(cmd_fill(self->buf, 0x55, PAGES * self->page), middle);
	EXPECT_TRUE(buf_check(middle, self->page, 2));
	ASSERT_EQ(0, mprotect(middle, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x55,
						 PAGES * self->page)));
	ASSERT_TRUE(on_device(self->buf, PAGES * self->page));
	EXPECT_TRUE(buf_is(self->buf, PAGES * self->page, 0x55));
}

TEST_F(access, prot_none)
{
	size_t len = PAGES * self->page;

	ASSERT_EQ(0, mprotect(self->buf, len, PROT_NONE));
	ASSERT_TRUE(on_device(self->buf, len));
	EXPECT_FAULT(cmd_read(self->buf, len), self->buf);
	EXPECT_FAULT(cmd_fill(self->buf, 0, len), self->buf);
	EXPECT_FAULT(cmd_copy(self->good + 64, self->buf, 64), self->buf);
	ASSERT_EQ(0, mprotect(self->buf, len, PROT_READ));
	EXPECT_TRUE(buf_check(self->buf, len, 1));
}

TEST_F(access, unmapped)
{
	char *hole = self->buf + 4 * self->page;

	ASSERT_EQ(0, munmap(hole, self->page));
	ASSERT_TRUE(on_device(self->buf, 4 * self->page));
	EXPECT_FAULT(cmd_read(self->buf, PAGES * self->page), hole);
	EXPECT_FAULT(cmd_fill(hole + 40, 0, 8), hole);
	EXPECT_FAULT(cmd_read((void *)self->page, 8), self->page);
	EXPECT_TRUE(buf_check(self->buf, 4 * self->page, 1));
}

TEST_F(access, not_peer_shared)
{
	size_t len = 4 * self->page;
	char *plain = buf_alloc_flags(len, MAP_PRIVATE);

	buf_fill(plain, len, 2);
	ASSERT_TRUE(on_device(self->buf, PAGES * self->page));
	EXPECT_FAULT(cmd_copy(self->buf, plain, len), plain);
	EXPECT_FAULT(cmd_fill(plain, 0, len), plain);
	EXPECT_TRUE(buf_check(plain, len, 2));
	ASSERT_TRUE(on_device(self->buf, PAGES * self->page));
	EXPECT_TRUE(buf_check(self->buf, PAGES * self->page, 1));
}

TEST_F(access, remapped_read_only_later)
{
	uint64_t *word = (uint64_t *)self->buf;

	*word = 0;
	ASSERT_EQ(0, npu_run1(self->fd, cmd_add(word, 1, 10)));
	/* The writable device entry must not outlive the right to write. */
	ASSERT_TRUE(on_device(self->buf, self->page));
	ASSERT_EQ(0, mprotect(self->buf, self->page, PROT_READ));
	EXPECT_FAULT(cmd_add(word, 1, 10), word);
	EXPECT_EQ(10, *word);
}

GMEM_TEST_MAIN
