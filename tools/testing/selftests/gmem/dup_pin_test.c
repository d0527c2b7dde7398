// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of files to which somebody has a reference from before, and may write
 * through it with the file closed and unmapped: no device has copies of them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"
#include "uring.h"

#define LEN	(1 * MiB)
#define PATH	DUP_DIR "/weights"
#define ENOUGH	20000	/* ms */

FIXTURE(pinned)
{
	struct readers npus;
	bool mounted;
	char *was;		/* where it was mapped for writing */
	int fd;
	char *buf;
};

FIXTURE_VARIANT(pinned)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(pinned, ext4) { .type = "ext4" };
FIXTURE_VARIANT_ADD(pinned, tmpfs) { .type = "tmpfs" };

FIXTURE_SETUP(pinned)
{
	int err = dup_mount(variant->type);

	if (err == -ENOENT)
		SKIP(return, "no mkfs.ext4 here");
	ASSERT_EQ(0, err);
	self->mounted = true;
	readers_open(&self->npus, LEN);
	self->fd = open(PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, LEN));
	self->was = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->was);
	buf_fill(self->was, LEN, 5);
}

/* Nobody has the file open for writing or mapped so, and a device may read it. */
static void close_and_map(FIXTURE_DATA(pinned) *self)
{
	int fd;

	munmap(self->was, LEN);
	close(self->fd);
	fd = open(PATH, O_RDONLY | O_CLOEXEC);
	self->buf = mmap(NULL, LEN, PROT_READ, MAP_SHARED | MAP_PEER_SHARED, fd, 0);
	if (self->buf == MAP_FAILED)
		die("cannot map " PATH);
	close(fd);
	if (hmadvise(-1, self->buf, LEN, MADV_READ_MOSTLY))
		die("READ_MOSTLY failed");
}

static bool copies_again(FIXTURE_DATA(pinned) *self)
{
	uint64_t end = now_ms() + ENOUGH;

	while (to_device(self->npus.fd[0], self->buf, LEN)) {
		if (now_ms() > end)
			return false;
		sleep_ms(10);
	}
	return copied(0) == LEN;
}

FIXTURE_TEARDOWN(pinned)
{
	if (!self->mounted)
		return;
	munmap(self->buf, LEN);
	readers_close(&self->npus);
	EXPECT_EQ(0, dup_umount(ENOUGH));
}

/* Buffers of io_uring are pinned until they are given back. */
TEST_F(pinned, registered_buffer)
{
	int source = memfd_create("source", MFD_CLOEXEC);
	struct uring uring;
	int err;

	ASSERT_LE(0, source);
	buf_fill(self->npus.scratch, LEN, 6);
	ASSERT_EQ(LEN, write(source, self->npus.scratch, LEN));
	uring_open(&uring);
	err = uring_register(&uring, self->was, LEN);
	close_and_map(self);
	if (strcmp(variant->type, "tmpfs")) {
		/* Nobody can pin the pages of a disk's file for long. */
		EXPECT_NE(0, err);
		EXPECT_TRUE(copies_again(self));
	} else {
		ASSERT_EQ(0, err);
		EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
		EXPECT_EQ(0, copied(0));
		EXPECT_EQ(0, copied(1));
		EXPECT_EQ(-EBUSY, to_device(self->npus.fd[0], self->buf, LEN));
		ASSERT_EQ(LEN, uring_read_fixed(&uring, source, self->was, LEN));
		ASSERT_TRUE(buf_check(self->buf, LEN, 6));
		EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 6));
		EXPECT_EQ(0, uring_unregister(&uring));
		EXPECT_TRUE(copies_again(self));
		EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 6));
	}
	uring_close(&uring);
	close(source);
}

/* A reference like that of I/O in flight, here of pages that lie in a pipe. */
TEST_F(pinned, in_flight)
{
	size_t page = page_size();
	struct iovec iov = { .iov_base = self->was + page, .iov_len = 2 * page };
	int pipe_fd[2];

	ASSERT_EQ(0, pipe(pipe_fd));
	ASSERT_EQ(2 * page, vmsplice(pipe_fd[1], &iov, 1, 0));
	close_and_map(self);
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	EXPECT_GE(LEN - 2 * page, copied(0));
	EXPECT_EQ(-EBUSY, to_device(self->npus.fd[0], self->buf, LEN));
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	EXPECT_TRUE(copies_again(self));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
}

GMEM_TEST_MAIN
