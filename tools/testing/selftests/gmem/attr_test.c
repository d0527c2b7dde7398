// SPDX-License-Identifier: GPL-2.0
/* Attributes of ranges: which pages have them, and what they do. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "gmem_attr.h"
#include "gmem_util.h"

FIXTURE(attr)
{
	int fd[2];
	int node[2];
	size_t page;
};

FIXTURE_SETUP(attr)
{
	int i;

	self->page = page_size();
	for (i = 0; i < 2; i++) {
		self->fd[i] = npu_open(i);
		self->node[i] = npu_info(self->fd[i]).hnid;
	}
}

FIXTURE_TEARDOWN(attr)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(attr, what_is_set_can_be_seen)
{
	char *buf = buf_alloc(8 * self->page);
	struct attr seen[8];
	int i;

	ASSERT_EQ(0, hmadvise(self->node[0], buf, 8 * self->page,
			      MADV_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(self->node[1], buf + self->page, 1,
			      MADV_ACCESSED_BY));
	ASSERT_EQ(0, hmadvise(-1, buf + 2 * self->page, self->page + 1,
			      MADV_READ_MOSTLY));
	attr_read(buf, 8, seen);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(self->node[0], seen[i].preferred);
		EXPECT_EQ(i == 1 ? 1ULL << self->node[1] : 0,
			  seen[i].accessed_by);
		EXPECT_EQ(i == 2 || i == 3, seen[i].read_mostly);
		EXPECT_EQ(-1, seen[i].pinned);
	}
	ASSERT_EQ(0, hmadvise(-1, buf, 8 * self->page, MADV_NO_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(-1, buf, 8 * self->page, MADV_NO_ACCESSED_BY));
	ASSERT_EQ(0, hmadvise(-1, buf, 8 * self->page, MADV_NO_READ_MOSTLY));
	EXPECT_EQ(0, attr_lines());
}

/* With a node, what was said of another one stays. */
TEST_F(attr, unset_for_one_node)
{
	char *buf = buf_alloc(self->page);
	struct attr seen;
	int i;

	ASSERT_EQ(0, hmadvise(self->node[0], buf, 1, MADV_PREFERRED_NODE));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, hmadvise(self->node[i], buf, 1, MADV_ACCESSED_BY));
	ASSERT_EQ(0, hmadvise(self->node[1], buf, 1, MADV_NO_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(HOME, buf, 1, MADV_NO_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(self->node[1], buf, 1, MADV_NO_ACCESSED_BY));
	attr_read(buf, 1, &seen);
	EXPECT_EQ(self->node[0], seen.preferred);
	EXPECT_EQ(1ULL << self->node[0], seen.accessed_by);
	ASSERT_EQ(0, hmadvise(self->node[0], buf, 1, MADV_NO_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(self->node[0], buf, 1, MADV_NO_ACCESSED_BY));
	EXPECT_EQ(0, attr_lines());
}

TEST_F(attr, errors)
{
	static const int hints[] = {
		MADV_PREFERRED_NODE, MADV_NO_PREFERRED_NODE, MADV_READ_MOSTLY,
		MADV_NO_READ_MOSTLY, MADV_ACCESSED_BY, MADV_NO_ACCESSED_BY,
	};
	int unknown = self->node[1] + 1, i, node = self->node[0];
	size_t page = self->page;
	char *buf = buf_alloc(8 * page);
	char *plain = mmap(NULL, page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, plain);
	for (i = 0; i < ARRAY_SIZE(hints); i++) {
		EXPECT_EQ(0, hmadvise(node, buf, 0, hints[i]));
		EXPECT_EQ(-EINVAL, hmadvise(unknown, buf, page, hints[i]));
		EXPECT_EQ(-EINVAL, hmadvise(-2, buf, page, hints[i]));
		EXPECT_EQ(-EINVAL, hmadvise(1 << 20, buf, page, hints[i]));
		EXPECT_EQ(-EINVAL, hmadvise(node, buf + 1, page, hints[i]));
		EXPECT_EQ(-EINVAL, hmadvise(node, buf, -1UL, hints[i]));
		EXPECT_EQ(-EINVAL, hmadvise(node, plain, page, hints[i]));
		EXPECT_EQ(-ENOMEM, hmadvise(node, (void *)page, page, hints[i]));
	}
	/* Behaviours that need a node, and one that needs a device. */
	EXPECT_EQ(-EINVAL, hmadvise(-1, buf, page, MADV_PREFERRED_NODE));
	EXPECT_EQ(-EINVAL, hmadvise(-1, buf, page, MADV_ACCESSED_BY));
	EXPECT_EQ(-EINVAL, hmadvise(HOME, buf, page, MADV_ACCESSED_BY));
	EXPECT_EQ(-EINVAL, hmadvise(HOME, buf, page, MADV_NO_ACCESSED_BY));
	EXPECT_EQ(0, attr_lines());
}

/* As with madvise, the rest is done. */
TEST_F(attr, hole_in_the_range)
{
	size_t page = self->page;
	char *buf = buf_alloc(8 * page);
	struct attr seen[8];
	int i;

	ASSERT_EQ(0, munmap(buf + 3 * page, 2 * page));
	EXPECT_EQ(-ENOMEM, hmadvise(-1, buf, 8 * page, MADV_READ_MOSTLY));
	/* A mapping that comes later starts without. */
	ASSERT_EQ(buf + 3 * page,
		  mmap(buf + 3 * page, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_PEER_SHARED, -1, 0));
	attr_read(buf, 8, seen);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(i < 3 || i > 4, seen[i].read_mostly);
	EXPECT_EQ(0, hmadvise(-1, buf, 8 * page, MADV_NO_READ_MOSTLY));
	EXPECT_EQ(0, attr_lines());
}

/* They are the process's own: no device is open. */
TEST(without_a_device)
{
	char *buf = buf_alloc(4 * page_size());
	struct attr seen;
	int fd, node;

	ASSERT_EQ(0, hmadvise(-1, buf, 1, MADV_READ_MOSTLY));
	fd = npu_open(0);
	node = npu_info(fd).hnid;
	close(fd);
	ASSERT_EQ(0, hmadvise(node, buf, 1, MADV_PREFERRED_NODE));
	attr_read(buf, 1, &seen);
	EXPECT_EQ(node, seen.preferred);
	EXPECT_TRUE(seen.read_mostly);
}

TEST_F(attr, gone_at_exec)
{
	char *buf = buf_alloc(self->page), text[65536];
	size_t len = 0;
	ssize_t got;
	int out[2];
	pid_t pid;

	ASSERT_EQ(0, hmadvise(-1, buf, 1, MADV_READ_MOSTLY));
	ASSERT_EQ(0, pipe(out));
	pid = fork();
	if (!pid) {
		if (attr_lines() != 1)
			_exit(1);
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execlp("cat", "cat", ATTR_FILE, NULL);
		_exit(2);
	}
	close(out[1]);
	while ((got = read(out[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += got;
	text[len] = 0;
	close(out[0]);
	EXPECT_EQ(0, child_result(pid, 10000));
	EXPECT_EQ(1, attr_count(text, getpid()));
	EXPECT_EQ(0, attr_count(text, pid));
}

/* Without memory mremap fails, and changes nothing. */
TEST_F(attr, mremap_out_of_memory)
{
	size_t page = self->page;
	char *buf = buf_alloc(6 * page), *to;
	struct attr before[6], after[6];

	buf_fill(buf, 6 * page, 1);
	ASSERT_EQ(0, hmadvise(-1, buf + page, page, MADV_READ_MOSTLY));
	ASSERT_EQ(0, hmadvise(self->node[0], buf + 3 * page, page,
			      MADV_PREFERRED_NODE));
	attr_read(buf, 6, before);
	if (fail_start("fail_gmem_attributes", 100, 1))
		SKIP(return, "no fault injection");
	to = mremap(buf, 6 * page, 7 * page, MREMAP_MAYMOVE);
	ASSERT_EQ(1, fail_stop("fail_gmem_attributes"));
	ASSERT_EQ(MAP_FAILED, to);
	EXPECT_EQ(ENOMEM, errno);
	attr_read(buf, 6, after);
	EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
	EXPECT_EQ(2, attr_lines());
	EXPECT_TRUE(buf_check(buf, 6 * page, 1));

	EXPECT_EQ(0, fail_start("fail_gmem_attributes", 100, 1));
	EXPECT_EQ(-ENOMEM, hmadvise(-1, buf, page, MADV_READ_MOSTLY));
	EXPECT_EQ(1, fail_stop("fail_gmem_attributes"));
	EXPECT_EQ(2, attr_lines());
}

TEST_F(attr, preferred_host_stays_home)
{
	size_t len = BLOCK;
	char *buf = buf_alloc(len);
	struct npu_info before = npu_info(self->fd[0]), after;

	buf_fill(buf, len, 3);
	ASSERT_EQ(0, hmadvise(HOME, buf, len, MADV_PREFERRED_NODE));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0x3c, len / 2)));
	after = npu_info(self->fd[0]);
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(before.to_dev, after.to_dev);
	EXPECT_LE(before.remote + len, after.remote);
	EXPECT_TRUE(buf_is(buf, len / 2, 0x3c));
	/* What a program asks for by name is done all the same. */
	EXPECT_EQ(0, to_device(self->fd[0], buf, len));
	EXPECT_TRUE(on_device(buf, len));
	/* Without the hint a fault moves. */
	ASSERT_EQ(0, to_home(buf, len));
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_NO_PREFERRED_NODE));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_TRUE(on_device(buf, len));
}

TEST_F(attr, preferred_device_gets_it)
{
	size_t len = BLOCK;
	char *buf = buf_alloc(len);
	struct npu_info before[2], after[2];
	int i;

	buf_fill(buf, len, 4);
	ASSERT_EQ(0, hmadvise(self->node[0], buf, len, MADV_PREFERRED_NODE));
	for (i = 0; i < 2; i++)
		before[i] = npu_info(self->fd[i]);
	/* Another device uses it where it is, */
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_read(buf, len)));
	EXPECT_EQ(0, pages_on_device(buf, len));
	/* the preferred one moves it. */
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	for (i = 0; i < 2; i++)
		after[i] = npu_info(self->fd[i]);
	EXPECT_EQ(before[0].to_dev + len, after[0].to_dev);
	EXPECT_EQ(before[1].to_dev, after[1].to_dev);
	EXPECT_LE(before[1].remote + len, after[1].remote);
	EXPECT_TRUE(buf_check(buf, len, 4));
}

TEST_F(attr, accessed_by_maps_remotely)
{
	size_t len = BLOCK;
	char *buf = buf_alloc(len);
	struct npu_info before = npu_info(self->fd[0]), after;

	buf_fill(buf, len, 5);
	ASSERT_EQ(0, hmadvise(self->node[0], buf, len, MADV_ACCESSED_BY));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	after = npu_info(self->fd[0]);
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(before.to_dev, after.to_dev);
	EXPECT_LE(before.remote + len, after.remote);
	/* The other device moves as ever, and a preferred node comes first. */
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_read(buf, len)));
	EXPECT_TRUE(on_device(buf, len));
	ASSERT_EQ(0, to_home(buf, len));
	ASSERT_EQ(0, hmadvise(self->node[0], buf, len, MADV_PREFERRED_NODE));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_check(buf, len, 5));
}

/* A block is not moved beyond the pages that the fault's own advice is for. */
TEST_F(attr, blocks_are_cut_at_the_edges)
{
	size_t page = self->page, at = 100 * page, nr = 3 * page;
	char *buf = buf_alloc(BLOCK);

	buf_fill(buf, BLOCK, 6);
	ASSERT_EQ(0, hmadvise(HOME, buf + at, nr, MADV_PREFERRED_NODE));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, at));
	EXPECT_EQ(0, pages_on_device(buf + at, nr));
	EXPECT_TRUE(on_device(buf + at + nr, BLOCK - at - nr));
	EXPECT_TRUE(buf_check(buf, BLOCK, 6));
}

/* Many ranges cost little more than few: a list would be a hundred times slower. */
TEST_F_TIMEOUT(attr, many_ranges, 120)
{
	size_t nr = scaled(60000, 5000), sample = nr / 100, i, page = self->page;
	char *buf = buf_alloc_flags(2 * nr * page, MAP_PRIVATE |
				    MAP_PEER_SHARED | MAP_NORESERVE);
	uint64_t first, last, best_first = -1, best_last = -1;
	int round;

	for (round = 0; round < 3; round++) {
		first = now_us();
		for (i = 0; i < sample; i++)
			ASSERT_EQ(0, hmadvise(-1, buf + 2 * i * page, 1,
					      MADV_READ_MOSTLY));
		first = now_us() - first;
		for (; i < nr - sample; i++)
			ASSERT_EQ(0, hmadvise(-1, buf + 2 * i * page, 1,
					      MADV_READ_MOSTLY));
		last = now_us();
		for (; i < nr; i++)
			ASSERT_EQ(0, hmadvise(-1, buf + 2 * i * page, 1,
					      MADV_READ_MOSTLY));
		last = now_us() - last;
		if (!round)
			EXPECT_EQ(nr, attr_lines());
		if (first < best_first)
			best_first = first;
		if (last < best_last)
			best_last = last;
		ASSERT_EQ(0, hmadvise(-1, buf, 2 * nr * page,
				      MADV_NO_READ_MOSTLY));
		ASSERT_EQ(0, attr_lines());
	}
	TH_LOG("%zu ranges: %llu us for the first %zu, %llu us for the last",
	       nr, (unsigned long long)best_first, sample,
	       (unsigned long long)best_last);
	EXPECT_LT(best_last, 10 * best_first + 1000);
}

GMEM_TEST_MAIN
