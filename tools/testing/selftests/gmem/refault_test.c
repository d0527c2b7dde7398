// SPDX-License-Identifier: GPL-2.0
/*
 * Refaults: a device asks for pages that another context of the process maps
 * already. The directory answers, as long as what it says is true.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define LEN	(64 << 10)

FIXTURE(refault)
{
	int fd[3];	/* two contexts of NPU 0, one of NPU 1 */
	char *buf;
	char *out;
};

FIXTURE_SETUP(refault)
{
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = 32 });
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(0);
	self->fd[2] = npu_open(1);
	self->buf = buf_alloc(BLOCK);
	self->out = buf_alloc(BLOCK);
	memset(self->buf, 1, BLOCK);
	/* The copies of what is read go to host memory that stays there. */
	memset(self->out, 0, BLOCK);
}

FIXTURE_TEARDOWN(refault)
{
	int i;

	for (i = 0; i < 3; i++)
		close(self->fd[i]);
	munmap(self->buf, BLOCK);
	munmap(self->out, BLOCK);
}

static long long refaults(int npu)
{
	return npu_stat(npu, "refaults");
}

/* What does a context read there? */
static int seen(int fd, char *out, const char *at)
{
	int err = npu_run1(fd, cmd_copy(out, at, 64));

	return err ? err : *(volatile unsigned char *)out;
}

/* A second context of the device: no page moves, and none is looked up. */
TEST_F(refault, second_context)
{
	long long moved, before;

	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_read(self->buf, LEN)));
	moved = npu_stat(0, "to_dev");
	before = refaults(0);
	ASSERT_EQ(0, npu_run1(self->fd[1], cmd_read(self->buf, LEN)));
	EXPECT_LT(before, refaults(0));
	EXPECT_EQ(moved, npu_stat(0, "to_dev"));
	EXPECT_TRUE(on_device(self->buf, LEN));
}

/* It loses the pages with the first one, and sees what the CPU wrote. */
TEST_F(refault, second_context_is_invalidated)
{
	long long before = refaults(0);

	ASSERT_EQ(1, seen(self->fd[0], self->out, self->buf));
	ASSERT_EQ(1, seen(self->fd[1], self->out, self->buf));
	ASSERT_LT(before, refaults(0));
	memset(self->buf, 2, LEN);
	/* The first one takes it to the device again, so that the old frame may be another's. */
	ASSERT_EQ(2, seen(self->fd[0], self->out, self->buf));
	EXPECT_EQ(2, seen(self->fd[1], self->out, self->buf));
	ASSERT_EQ(0, to_home(self->buf, LEN));
	memset(self->buf, 3, LEN);
	EXPECT_EQ(3, seen(self->fd[1], self->out, self->buf));
}

/* Writes of both contexts go to the same page. */
TEST_F(refault, both_write)
{
	long long before;

	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(self->buf, 4, LEN)));
	before = refaults(0);
	ASSERT_EQ(0, npu_run1(self->fd[1], cmd_fill(self->buf + 64, 5, 64)));
	EXPECT_LT(before, refaults(0));
	EXPECT_EQ(4, seen(self->fd[0], self->out, self->buf));
	EXPECT_EQ(5, seen(self->fd[0], self->out, self->buf + 64));
	EXPECT_EQ(5, self->buf[64]);
	EXPECT_EQ(4, self->buf[128]);
}

/* A page of shared memory never moves: another device maps it where it is. */
TEST_F(refault, another_device_on_the_host_page)
{
	char *shared = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_PEER_SHARED, -1, 0);
	long long before = refaults(1);

	ASSERT_NE(MAP_FAILED, shared);
	memset(shared, 6, LEN);
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(shared, 7, LEN)));
	ASSERT_EQ(7, seen(self->fd[2], self->out, shared));
	EXPECT_LT(before, refaults(1));
	ASSERT_EQ(0, npu_run1(self->fd[2], cmd_fill(shared, 8, LEN)));
	EXPECT_TRUE(buf_is(shared, LEN, 8));
	/* A hole is punched: both see the zeroes. */
	ASSERT_EQ(0, madvise(shared, LEN, MADV_REMOVE));
	EXPECT_EQ(0, seen(self->fd[2], self->out, shared));
	EXPECT_EQ(0, seen(self->fd[0], self->out, shared));
	munmap(shared, LEN);
}

/* What could move comes to the device that asks. */
TEST_F(refault, movable_pages_move)
{
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(self->buf, 9, LEN)));
	ASSERT_EQ(0, npu_run1(self->fd[2], cmd_read(self->buf, LEN)));
	EXPECT_EQ(LEN, pages_on_device(self->buf, LEN) * page_size());
	EXPECT_EQ(9, seen(self->fd[0], self->out, self->buf));
	EXPECT_EQ(9, seen(self->fd[2], self->out, self->buf));
}

/* Shared by COW a page was validated for reading: who writes gets its own. */
TEST_F(refault, cow_is_broken)
{
	struct baton go;
	pid_t pid;

	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_read(self->buf, LEN)));
	baton_make(&go);
	pid = fork();
	if (!pid) {
		baton_take(&go);
		_exit(buf_is(self->buf, LEN, 1) ? 0 : 1);
	}
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_read(self->buf, LEN)));
	ASSERT_EQ(0, npu_run1(self->fd[1], cmd_fill(self->buf, 2, LEN)));
	EXPECT_EQ(2, seen(self->fd[0], self->out, self->buf));
	baton_pass(&go);
	EXPECT_EQ(0, child_result(pid, 20000));
}

/* Without the right to read the directory's old answer is none. */
TEST_F(refault, protected_memory)
{
	ASSERT_EQ(1, seen(self->fd[0], self->out, self->buf));
	ASSERT_EQ(0, mprotect(self->buf, BLOCK, PROT_NONE));
	EXPECT_GT(0, seen(self->fd[1], self->out, self->buf));
	EXPECT_GT(0, seen(self->fd[0], self->out, self->buf));
	ASSERT_EQ(0, mprotect(self->buf, BLOCK, PROT_READ));
	EXPECT_EQ(1, seen(self->fd[1], self->out, self->buf));
	EXPECT_GT(0, npu_run1(self->fd[0], cmd_fill(self->buf, 2, 64)));
	EXPECT_EQ(1, self->buf[0]);
}

GMEM_TEST_MAIN
