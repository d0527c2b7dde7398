// SPDX-License-Identifier: GPL-2.0
/* Device pages and the rest of the host's memory management: GUP and its users. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define PAGES	16

FIXTURE(host)
{
	int fd, pipe[2];
	size_t page, len;
	char *buf, *plain;
};

FIXTURE_SETUP(host)
{
	self->fd = npu_open(0);
	self->page = page_size();
	self->len = PAGES * self->page;
	self->buf = buf_alloc(self->len);
	self->plain = aligned_alloc(self->page, self->len);
	ASSERT_EQ(0, pipe(self->pipe));
	ASSERT_LE((int)self->len, fcntl(self->pipe[1], F_SETPIPE_SZ, self->len));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x47, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(host)
{
	close(self->pipe[0]);
	close(self->pipe[1]);
	close(self->fd);
	free(self->plain);
}

static bool read_all(int fd, char *to, size_t len)
{
	ssize_t got;

	for (; len; to += got, len -= got) {
		got = read(fd, to, len);
		if (got <= 0)
			return false;
	}
	return true;
}

TEST_F(host, pipe_from_device_pages)
{
	ASSERT_EQ((ssize_t)self->len, write(self->pipe[1], self->buf, self->len));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	ASSERT_TRUE(read_all(self->pipe[0], self->plain, self->len));
	EXPECT_TRUE(buf_is(self->plain, self->len, 0x47));
}

TEST_F(host, read_into_device_pages)
{
	memset(self->plain, 0x52, self->len);
	ASSERT_EQ((ssize_t)self->len, write(self->pipe[1], self->plain,
					    self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_TRUE(read_all(self->pipe[0], self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x52));
}

TEST_F(host, process_vm_readv_from_device_pages)
{
	struct iovec from = { self->buf, self->len };
	struct iovec to = { self->plain, self->len };

	ASSERT_EQ((ssize_t)self->len, process_vm_readv(getpid(), &to, 1, &from,
						       1, 0));
	EXPECT_TRUE(buf_is(self->plain, self->len, 0x47));
}

/* Pages a pipe refers to cannot move: they are mapped where they are. */
static void pin(struct __test_metadata *_metadata, FIXTURE_DATA(host) *self)
{
	struct iovec iov = { self->buf, self->len };

	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ((ssize_t)self->len, vmsplice(self->pipe[1], &iov, 1, 0));
	ASSERT_EQ(0, pages_on_device(self->buf, self->len));
}

TEST_F(host, pinned_pages_stay_and_are_mapped)
{
	uint64_t remote = npu_info(self->fd).remote;

	pin(_metadata, self);
	EXPECT_EQ(-EBUSY, to_device(self->fd, self->buf, self->len));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x48, self->len)));
	EXPECT_LE(remote + self->len, npu_info(self->fd).remote);
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	/* The pipe sees what the device wrote: it is the same page. */
	ASSERT_TRUE(read_all(self->pipe[0], self->plain, self->len));
	EXPECT_TRUE(buf_is(self->plain, self->len, 0x48));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x48));
	EXPECT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x48));
}

/* Some pages pinned: the others move. */
TEST_F(host, one_pinned_page_among_many)
{
	struct iovec iov = { self->buf + 5 * self->page, self->page };

	ASSERT_EQ((ssize_t)self->page, vmsplice(self->pipe[1], &iov, 1, 0));
	EXPECT_EQ(-EBUSY, to_device(self->fd, self->buf, self->len));
	ASSERT_EQ(PAGES - 1, pages_on_device(self->buf, self->len));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x49, self->len)));
	ASSERT_EQ(PAGES - 1, pages_on_device(self->buf, self->len));
	ASSERT_TRUE(read_all(self->pipe[0], self->plain, self->page));
	EXPECT_TRUE(buf_is(self->plain, self->page, 0x49));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x49));
}

/* A remote write is a write: reclaim must not take the page for clean. */
TEST_F(host, remote_write_makes_dirty)
{
	uint64_t remote;

	pin(_metadata, self);
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_FREE));
	remote = npu_info(self->fd).remote;
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x4a, self->len)));
	ASSERT_LE(remote + self->len, npu_info(self->fd).remote);
	ASSERT_TRUE(read_all(self->pipe[0], self->plain, self->len));
	madvise(self->buf, self->len, MADV_PAGEOUT);
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x4a));
}

FIXTURE(direct)
{
	int fd, disk;
	size_t len;
	char *buf, *plain;
};

FIXTURE_SETUP(direct)
{
	self->fd = npu_open(0);
	self->disk = open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC);
	if (self->disk < 0)
		SKIP(return, "no /dev/ram0 with O_DIRECT");
	self->len = BLOCK;
	self->buf = buf_alloc(self->len);
	self->plain = aligned_alloc(page_size(), self->len);
	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(direct)
{
	free(self->plain);
	close(self->disk);
	close(self->fd);
}

TEST_F(direct, write_from_device_pages)
{
	ASSERT_EQ((ssize_t)self->len, pwrite(self->disk, self->buf, self->len,
					     0));
	memset(self->plain, 0, self->len);
	ASSERT_EQ((ssize_t)self->len, pread(self->disk, self->plain, self->len,
					    0));
	EXPECT_TRUE(buf_check(self->plain, self->len, 1));
}

TEST_F(direct, read_into_device_pages)
{
	buf_fill(self->plain, self->len, 2);
	ASSERT_EQ((ssize_t)self->len, pwrite(self->disk, self->plain, self->len,
					     0));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ((ssize_t)self->len, pread(self->disk, self->buf, self->len, 0));
	EXPECT_TRUE(buf_check(self->buf, self->len, 2));
	/* The device sees what the disk wrote. */
	ASSERT_EQ(0, npu_run1(self->fd, cmd_copy(self->buf, self->buf + BLOCK / 2,
						 BLOCK / 2)));
	ASSERT_TRUE(on_device(self->buf, BLOCK));
	EXPECT_EQ(0, memcmp(self->buf, self->plain + BLOCK / 2, BLOCK / 2));
}

GMEM_TEST_MAIN
