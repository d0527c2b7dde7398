// SPDX-License-Identifier: GPL-2.0
/* mremap, munmap, mprotect, MAP_FIXED over pages that are on the device. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(vma)
{
	int fd;
	size_t page, len;
	uint64_t free;
	char *buf;
};

FIXTURE_SETUP(vma)
{
	self->fd = npu_open(0);
	self->page = page_size();
	self->len = 2 * BLOCK;
	self->free = npu_info(self->fd).mem_free;
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(vma)
{
	close(self->fd);
}

/* The device's old entries die, the new address has the bytes. */
static void check_mremap(struct __test_metadata *_metadata,
			 FIXTURE_DATA(vma) *self, char *from, size_t len,
			 char *to)
{
	char *moved = mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	uint64_t *word = (uint64_t *)to, old;

	ASSERT_EQ(to, moved);
	ASSERT_TRUE(on_device(to, len));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd, cmd_read(from, self->page)));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd, cmd_fill(from, 0, self->page)));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_read(to, len)));
	ASSERT_TRUE(on_device(to, len));
	old = *word;
	EXPECT_EQ(0, pages_on_device(to, self->page));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_add(word, 1, 1)));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_add(word, -1ULL, 1)));
	ASSERT_TRUE(on_device(to, self->page));
	EXPECT_EQ(old, *word);
	ASSERT_EQ(0, to_device(self->fd, to, len));
}

TEST_F(vma, mremap_blocks)
{
	char *to = buf_alloc(self->len);

	check_mremap(_metadata, self, self->buf, self->len, to);
	EXPECT_TRUE(buf_check(to, self->len, 1));
}

/* To an address of another alignment: large folios cannot stay mapped whole. */
TEST_F(vma, mremap_shifted_by_a_page)
{
	char *to = buf_alloc(self->len + BLOCK);

	check_mremap(_metadata, self, self->buf, self->len, to + self->page);
	EXPECT_TRUE(buf_check(to + self->page, self->len, 1));
}

TEST_F(vma, mremap_part)
{
	size_t part = 7 * self->page;
	char *from = self->buf + 3 * self->page, *to = buf_alloc(part);

	check_mremap(_metadata, self, from, part, to);
	ASSERT_TRUE(on_device(self->buf, 3 * self->page));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_read(self->buf, 3 * self->page)));
	/* And into the gap it left. */
	check_mremap(_metadata, self, to, part, from);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

TEST_F(vma, mremap_dontunmap)
{
	char *to = buf_alloc(self->len);

	ASSERT_EQ(to, mremap(self->buf, self->len, self->len, MREMAP_MAYMOVE |
			     MREMAP_FIXED | MREMAP_DONTUNMAP, to));
	ASSERT_TRUE(on_device(to, self->len));
	/* The old range is there, and empty, for the device too. */
	EXPECT_EQ(0, npu_run1(self->fd, cmd_copy(self->buf + self->page,
						 self->buf, self->page)));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0));
	EXPECT_TRUE(buf_check(to, self->len, 1));
}

TEST_F(vma, partial_munmap)
{
	char *hole = self->buf + 100 * self->page;
	size_t before = 100 * self->page, after = self->len - 103 * self->page;

	ASSERT_EQ(0, munmap(hole, 3 * self->page));
	ASSERT_TRUE(on_device(self->buf, before));
	ASSERT_TRUE(on_device(hole + 3 * self->page, after));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd, cmd_read(hole, 8)));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd, cmd_fill(hole + 2 * self->page, 0,
						       8)));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_read(self->buf, before)));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_read(hole + 3 * self->page, after)));
	ASSERT_TRUE(on_device(self->buf, before));
	EXPECT_TRUE(buf_check(self->buf, before, 1));
	ASSERT_EQ(hole, mmap(hole, 3 * self->page, PROT_READ, MAP_PRIVATE |
			     MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(0, munmap(self->buf, self->len));
	EXPECT_TRUE(npu_wait_free(self->fd, self->free, 2000));
}

TEST_F(vma, munmap_gives_the_room_back)
{
	ASSERT_GT(self->free, npu_info(self->fd).mem_free);
	ASSERT_EQ(0, munmap(self->buf, self->len));
	EXPECT_TRUE(npu_wait_free(self->fd, self->free, 2000));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd, cmd_read(self->buf, 8)));
}

TEST_F(vma, map_fixed_over_device_pages)
{
	ASSERT_EQ(self->buf, mmap(self->buf, BLOCK, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				  MAP_PEER_SHARED, -1, 0));
	ASSERT_TRUE(on_device(self->buf + BLOCK, BLOCK));
	EXPECT_EQ(0, pages_on_device(self->buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x61, 8)));
	ASSERT_TRUE(on_device(self->buf, self->page));
	EXPECT_TRUE(buf_is(self->buf, 8, 0x61));
	EXPECT_TRUE(buf_is(self->buf + 8, BLOCK - 8, 0));
}

TEST_F(vma, mprotect_and_back)
{
	uint64_t faults;

	ASSERT_EQ(0, mprotect(self->buf, self->len, PROT_READ));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd, cmd_fill(self->buf, 0, 8)));
	ASSERT_EQ(0, mprotect(self->buf, self->len, PROT_READ | PROT_WRITE));
	ASSERT_TRUE(on_device(self->buf, self->len));
	faults = npu_info(self->fd).faults;
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x71, self->len)));
	EXPECT_LT(faults, npu_info(self->fd).faults);
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x71));
}

GMEM_TEST_MAIN
