// SPDX-License-Identifier: GPL-2.0
/* UFFDIO_MOVE moves pages that are on a device as it moves those of the host. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(move)
{
	int fd, uffd;
	size_t len;
	char *src, *dst;
};

FIXTURE_VARIANT(move)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(move, small_pages) { .len = 32 * 4 * KiB };
FIXTURE_VARIANT_ADD(move, blocks) { .len = 2 * BLOCK };

FIXTURE_SETUP(move)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MOVE,
	};
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	self->fd = npu_open(0);
	self->len = variant->len;
	self->src = buf_alloc(self->len);
	self->dst = buf_alloc(self->len);
	self->uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)self->dst;
	reg.range.len = self->len;
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	buf_fill(self->src, self->len, 1);
}

FIXTURE_TEARDOWN(move)
{
	close(self->uffd);
	close(self->fd);
}

/* Returns how many bytes moved, or a negative errno. */
static long move(int uffd, char *dst, char *src, size_t len, uint64_t mode)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = len,
		.mode = mode,
	};
	long done = 0;

	while (done < (long)len) {
		arg.move = 0;
		if (!ioctl(uffd, UFFDIO_MOVE, &arg))
			return done + arg.move;
		if (errno != EAGAIN || arg.move <= 0)
			return -errno;
		done += arg.move;
		arg.dst += arg.move;
		arg.src += arg.move;
		arg.len -= arg.move;
	}
	return done;
}

TEST_F(move, all)
{
	ASSERT_EQ(0, to_device(self->fd, self->src, self->len));
	ASSERT_TRUE(on_device(self->src, self->len));
	ASSERT_EQ((long)self->len, move(self->uffd, self->dst, self->src,
					self->len, 0));
	EXPECT_TRUE(buf_check(self->dst, self->len, 1));
	/* The device uses them where they are now. */
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->dst, 0x5a, self->len)));
	EXPECT_TRUE(buf_is(self->dst, self->len, 0x5a));
	EXPECT_TRUE(buf_is(self->src, self->len, 0));
}

/* Page by page, so that huge pages are taken apart. */
TEST_F(move, page_by_page)
{
	const size_t step = page_size();
	size_t i;

	ASSERT_EQ(0, to_device(self->fd, self->src, self->len));
	for (i = 0; i < self->len; i += step)
		ASSERT_EQ((long)step, move(self->uffd, self->dst + i,
					   self->src + i, step, 0));
	EXPECT_TRUE(buf_check(self->dst, self->len, 1));
}

TEST_F(move, host_and_device_pages)
{
	const size_t half = self->len / 2;

	ASSERT_EQ(0, to_device(self->fd, self->src + half, half));
	ASSERT_EQ(half / page_size(), pages_on_device(self->src, self->len));
	ASSERT_EQ((long)self->len, move(self->uffd, self->dst, self->src,
					self->len, 0));
	EXPECT_TRUE(buf_check(self->dst, self->len, 1));
}

/* A hole is an error unless it is allowed. */
TEST_F(move, holes)
{
	const size_t half = self->len / 2;

	ASSERT_EQ(0, madvise(self->src, half, MADV_DONTNEED));
	ASSERT_EQ(0, to_device(self->fd, self->src + half, half));
	EXPECT_EQ(-ENOENT, move(self->uffd, self->dst, self->src, self->len, 0));
	ASSERT_EQ((long)self->len, move(self->uffd, self->dst, self->src,
					self->len,
					UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES));
	EXPECT_EQ(0, pages_on_device(self->src, self->len));
	EXPECT_TRUE(buf_is(self->src, self->len, 0));
}

GMEM_TEST_MAIN
