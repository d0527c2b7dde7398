// SPDX-License-Identifier: GPL-2.0
/* What can be pinned, and how much. */
#include <sys/mman.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "gmem_pin.h"

#define PERCENT "/proc/sys/vm/gmem_pin_percent"

TEST_F(pin, errors)
{
	size_t page = self->page;
	char *buf = buf_alloc(8 * page), *plain, *shared;
	int i;

	plain = buf_alloc_flags(page, MAP_PRIVATE);
	shared = buf_alloc_flags(page, MAP_SHARED | MAP_PEER_SHARED);
	for (i = 0; i < 2; i++) {
		int what = i ? MADV_UNPINNED : MADV_PINNED;

		EXPECT_EQ(0, hmadvise(self->node[0], buf, 0, what));
		EXPECT_EQ(-EINVAL, hmadvise(HOME, buf, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(-2, buf, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(self->node[1] + 1, buf, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(self->node[0], buf + 1, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(self->node[0], plain, page, what));
		EXPECT_EQ(-ENOMEM, hmadvise(self->node[0], (void *)page, page,
					    what));
	}
	EXPECT_EQ(-EINVAL, hmadvise(-1, buf, page, MADV_PINNED));
	EXPECT_EQ(-EBUSY, pin(self, shared, page));
	EXPECT_EQ(0, pinned(0));
	/* A hole, and a locked page: the rest is pinned. */
	ASSERT_EQ(0, munmap(buf + 5 * page, page));
	EXPECT_EQ(-ENOMEM, pin(self, buf + 4 * page, 4 * page));
	EXPECT_EQ(3 * page, pinned(0));
	ASSERT_EQ(0, mlock(buf + page, page));
	EXPECT_EQ(-EBUSY, pin(self, buf, 4 * page));
	EXPECT_EQ(6 * page, pinned(0));
	EXPECT_EQ(0, pages_on_device(buf + page, page));
	EXPECT_TRUE(on_device(buf + 2 * page, 2 * page));
	EXPECT_EQ(-ENOMEM, hmadvise(-1, buf, 8 * page, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(0));
	/* Nobody to use it. */
	close(self->fd[0]);
	EXPECT_EQ(-ENODEV, pin(self, buf, page));
	self->fd[0] = npu_open(0);
}

TEST_F(pin, limit_of_the_device)
{
	size_t most = self->mem / BLOCK / 2 * BLOCK;
	char old[16], *buf = buf_alloc(self->mem);

	ASSERT_LT(0, file_read(PERCENT, old, sizeof(old)));
	ASSERT_EQ(0, file_write(PERCENT, "50"));
	EXPECT_EQ(-EAGAIN, pin(self, buf, most + BLOCK));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_EQ(0, attr_lines());
	EXPECT_EQ(0, pin(self, buf, most));
	EXPECT_EQ(-EAGAIN, pin(self, buf + most, self->page));
	EXPECT_EQ(most, pinned(0));
	/* What is kept is kept. */
	ASSERT_EQ(0, file_write(PERCENT, "0"));
	EXPECT_EQ(most, pinned(0));
	EXPECT_EQ(0, hmadvise(-1, buf, self->mem, MADV_UNPINNED));
	EXPECT_EQ(-EAGAIN, pin(self, buf, self->page));
	EXPECT_GT(0, file_write(PERCENT, "101"));
	ASSERT_EQ(0, file_write(PERCENT, old));
}

TEST_F(pin, limit_of_the_process)
{
	struct rlimit old, limit = { .rlim_cur = BLOCK, .rlim_max = BLOCK };
	char *buf = buf_alloc(2 * BLOCK);
	pid_t pid;

	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &old));
	pid = fork();
	if (!pid) {
		int fd = npu_open(0);

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setuid(65534))
			_exit(1);
		if (pin(self, buf, 2 * BLOCK) != -EAGAIN)
			_exit(2);
		if (pin(self, buf, BLOCK))
			_exit(3);
		if (pin(self, buf + BLOCK, self->page) != -EAGAIN)
			_exit(4);
		if (pin(self, buf, BLOCK) ||
		    hmadvise(-1, buf, self->page, MADV_UNPINNED) ||
		    pin(self, buf + BLOCK, self->page))
			_exit(5);
		close(fd);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid, 20000));
}

/* Over a limit, or when a copy fails, nothing is charged that is not kept. */
TEST_F(pin, failures)
{
	char *buf = buf_alloc(2 * BLOCK);

	buf_fill(buf, 2 * BLOCK, 10);
	if (fail_start("fail_gmem_alloc", 100, 1000))
		SKIP(return, "no fault injection");
	EXPECT_EQ(-EAGAIN, pin(self, buf, BLOCK));
	EXPECT_LT(0, fail_stop("fail_gmem_alloc"));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_EQ(0, attr_lines());

	ASSERT_EQ(0, fail_start("fail_gmem_attributes", 100, 1));
	EXPECT_EQ(-ENOMEM, pin(self, buf, BLOCK));
	EXPECT_EQ(1, fail_stop("fail_gmem_attributes"));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());

	/* The room is kept although the bytes did not get there. */
	ASSERT_EQ(0, fail_start("fail_gmem_copy_to", 100, 1000));
	EXPECT_EQ(-EFAULT, pin(self, buf, BLOCK));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_to"));
	EXPECT_EQ(BLOCK, pinned(0));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, 2 * BLOCK, 10));
	ASSERT_EQ(0, munmap(buf, 2 * BLOCK));
}

GMEM_TEST_MAIN
