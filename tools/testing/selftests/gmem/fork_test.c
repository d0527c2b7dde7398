// SPDX-License-Identifier: GPL-2.0
/* fork with data on the device: each process sees its own bytes. */
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(fork)
{
	int fd;
	size_t len;
	uint8_t *buf;
	struct baton to_child, to_parent;
};

FIXTURE_VARIANT(fork)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(fork, small_pages) { .len = 16 * 4 * KiB };
FIXTURE_VARIANT_ADD(fork, block) { .len = BLOCK };

FIXTURE_SETUP(fork)
{
	self->fd = npu_open(0);
	self->len = variant->len;
	self->buf = buf_alloc(self->len);
	baton_make(&self->to_child);
	baton_make(&self->to_parent);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0xaa, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(fork)
{
	close(self->fd);
}

TEST_F(fork, child_reads)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(!on_device(self->buf, self->len) ||
		      !buf_is(self->buf, self->len, 0xaa));
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xaa));
}

TEST_F(fork, child_writes)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		if (!on_device(self->buf, self->len))
			_exit(1);
		memset(self->buf, 0xbb, self->len);
		_exit(buf_is(self->buf, self->len, 0xbb) ? 0 : 2);
	}
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xaa));
}

TEST_F(fork, parent_writes)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		baton_take(&self->to_child);
		_exit(!buf_is(self->buf, self->len, 0xaa));
	}
	ASSERT_TRUE(on_device(self->buf, self->len));
	memset(self->buf, 0xcc, self->len);
	baton_pass(&self->to_child);
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xcc));
}

/* The device had a writable entry: it must not reach the child's page. */
TEST_F(fork, device_writes)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		baton_take(&self->to_child);
		_exit(!buf_is(self->buf, self->len, 0xaa));
	}
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0xdd, self->len)));
	baton_pass(&self->to_child);
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xdd));
}

/* The same with nobody's page left on the device before the write. */
TEST_F(fork, device_writes_shared_page_at_home)
{
	pid_t child;

	ASSERT_EQ(0, to_home(self->buf, self->len));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		baton_take(&self->to_child);
		_exit(!buf_is(self->buf, self->len, 0xaa));
	}
	/* Reading maps the shared page, writing must not go through that. */
	ASSERT_EQ(0, npu_run1(self->fd, cmd_read(self->buf, self->len)));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0xdd, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	baton_pass(&self->to_child);
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xdd));
}

TEST_F(fork, childs_device_writes)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		int fd = npu_open(0);

		if (!on_device(self->buf, self->len))
			_exit(1);
		if (npu_run1(fd, cmd_fill(self->buf, 0xee, self->len)))
			_exit(2);
		if (!on_device(self->buf, self->len))
			_exit(3);
		_exit(buf_is(self->buf, self->len, 0xee) ? 0 : 4);
	}
	EXPECT_EQ(0, child_result(child, 10000));
	/* Breaking COW took the shared pages home. */
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xaa));
}

/* A page that parent and child share moves when asked. */
TEST_F(fork, prefetch_moves_shared_pages)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		baton_take(&self->to_child);
		_exit(!buf_is(self->buf, self->len, 0xaa));
	}
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(0, to_home(self->buf, self->len));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	baton_pass(&self->to_child);
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0xaa));
}

TEST_F(fork, inherited_file_is_refused)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		int err = npu_run1(self->fd, cmd_fill(self->buf, 0xff,
						      self->len));

		_exit(err == -EPERM && buf_is(self->buf, self->len, 0xaa) ? 0 : 1);
	}
	EXPECT_EQ(0, child_result(child, 10000));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x12, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x12));
}

/* Dying with the parent's device pages shared leaves them alone. */
TEST_F(fork, child_exits_parents_device_goes_on)
{
	uint64_t free = npu_info(self->fd).mem_free;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(!on_device(self->buf, self->len));
	EXPECT_EQ(0, child_result(child, 10000));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(free, npu_info(self->fd).mem_free);
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x13, self->len)));
	EXPECT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x13));
}

GMEM_TEST_MAIN
