// SPDX-License-Identifier: GPL-2.0
/*
 * CPU faults on huge device pages that have to be taken apart first: because the
 * process maps them in small pieces, or because the host has no huge page.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define FAIL_ALLOC	"/sys/kernel/debug/fail_page_alloc"
#define PAGES		(BLOCK / (4 * KiB))

FIXTURE(split)
{
	int fd;
	size_t page;
	char *buf;
};

FIXTURE_SETUP(split)
{
	if (page_size() != 4 * KiB)
		SKIP(return, "a block has 512 pages of 4 KiB");
	self->fd = npu_open(0);
	self->page = page_size();
	self->buf = buf_alloc(BLOCK);
	buf_fill(self->buf, BLOCK, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, BLOCK));
	ASSERT_TRUE(on_device(self->buf, BLOCK));
}

FIXTURE_TEARDOWN(split)
{
	munmap(self->buf, BLOCK);
	close(self->fd);
}

/* Map the huge page in small pieces; the last page of the block is lost. */
static void map_small(char *buf)
{
	if (madvise(buf + BLOCK - page_size(), page_size(), MADV_DONTNEED))
		die("MADV_DONTNEED: %s", strerror(errno));
}

/*
 * Read one page of a huge device page that is mapped in small pieces, and then all
 * of them, in a child: a page that stays locked would hold whoever reads it for
 * ever. The child shares no page, so that there is one mapping of each.
 */
static int read_in_child(size_t first, int copies_to_fail)
{
	const size_t last = BLOCK - page_size();
	pid_t child = fork();

	if (!child) {
		char *buf = buf_alloc(BLOCK);
		int fd = npu_open(0);
		volatile char c;

		buf_fill(buf, BLOCK, 1);
		if (to_device(fd, buf, BLOCK))
			_exit(1);
		map_small(buf);
		if (!on_device(buf, last))
			_exit(2);
		if (fail_start("fail_gmem_copy_from", 100, copies_to_fail))
			_exit(3);
		c = buf[first * page_size()];
		(void)c;
		if (!buf_check(buf, last, 1) ||
		    !buf_is(buf + last, page_size(), 0))
			_exit(4);
		_exit(fail_stop("fail_gmem_copy_from") == copies_to_fail ? 0 : 5);
	}
	return child < 0 ? -errno : child_result(child, 10000);
}

static const size_t faulting[] = { 0, 1, 300, PAGES - 2 };

TEST_F(split, fault_on_any_page)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(faulting); i++)
		ASSERT_EQ(0, read_in_child(faulting[i], 0)) {
			TH_LOG("fault on page %zu", faulting[i]);
		}
}

TEST_F(split, fault_whose_copy_fails)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(faulting); i++)
		ASSERT_EQ(0, read_in_child(faulting[i], 1)) {
			TH_LOG("fault on page %zu", faulting[i]);
		}
}

/* The page of the fault comes home by that fault, and not by a second one. */
TEST_F(split, one_fault)
{
	long long faults;
	volatile char c;

	map_small(self->buf);
	faults = vmstat("gmem_cpu_fault");
	c = self->buf[300 * self->page];
	(void)c;
	EXPECT_EQ(faults + 1, vmstat("gmem_cpu_fault"));
	EXPECT_EQ(0, pages_on_device(self->buf, BLOCK));
}

TEST_F(split, one_fault_without_huge_host_page)
{
	uint64_t from = npu_info(self->fd).from_dev;
	char left[16];
	long long faults;
	volatile char c;

	if (access(FAIL_ALLOC, F_OK))
		SKIP(return, "no fail_page_alloc");
	ASSERT_EQ(0, file_write(FAIL_ALLOC "/min-order", "9"));
	ASSERT_EQ(0, file_write(FAIL_ALLOC "/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, file_write(FAIL_ALLOC "/ignore-gfp-highmem", "N"));
	faults = vmstat("gmem_cpu_fault");
	/* The second copy would fail, if one were made. */
	ASSERT_EQ(0, fail_nth("fail_gmem_copy_from", 2));
	ASSERT_EQ(0, fail_start("fail_page_alloc", 100, -1));
	c = self->buf[300 * self->page];
	(void)c;
	EXPECT_LT(0, fail_stop("fail_page_alloc"));
	EXPECT_LT(0, file_read("/sys/kernel/debug/fail_gmem_copy_from/times", left,
			       sizeof(left)));
	EXPECT_EQ(1, atoi(left));
	fail_stop("fail_gmem_copy_from");
	EXPECT_EQ(faults + 1, vmstat("gmem_cpu_fault"));
	EXPECT_EQ(from + BLOCK, npu_info(self->fd).from_dev);
	EXPECT_EQ(0, pages_on_device(self->buf, BLOCK));
	EXPECT_TRUE(buf_check(self->buf, BLOCK, 1));
}

struct toucher {
	pthread_t thread;
	pthread_barrier_t *barrier;
	const char *page;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;

	pthread_barrier_wait(t->barrier);
	return (void *)(uintptr_t)*(volatile const char *)t->page;
}

/* Touch all pages at the same time, one thread each. */
static void touch_together(const char *const pages[], int nr)
{
	pthread_barrier_t barrier;
	struct toucher t[4];
	int i;

	pthread_barrier_init(&barrier, NULL, nr);
	for (i = 0; i < nr; i++) {
		t[i].barrier = &barrier;
		t[i].page = pages[i];
		if (pthread_create(&t[i].thread, NULL, touch, &t[i]))
			die("pthread_create");
	}
	for (i = 0; i < nr; i++)
		pthread_join(t[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

static uint64_t storm_end(void)
{
	return now_ms() + (getenv("LONG") ? 60000 : 4000);
}

/* Several faults take one huge page apart. */
TEST_F_TIMEOUT(split, faults_on_one_page, 120)
{
	const char *pages[4] = {
		self->buf, self->buf + self->page, self->buf + 2 * self->page,
		self->buf + 300 * self->page,
	};
	uint64_t end = storm_end();
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		int fd = npu_open(0);

		while (now_ms() < end) {
			buf_fill(self->buf, BLOCK, 1);
			if (to_device(fd, self->buf, BLOCK))
				_exit(1);
			map_small(self->buf);
			touch_together(pages, 4);
			if (!buf_check(self->buf, BLOCK - self->page, 1))
				_exit(2);
		}
		_exit(0);
	}
	EXPECT_EQ(0, child_result(child, end - now_ms() + 20000));
}

/* Two faults, each on one of two huge pages of which the block has halves. */
TEST_F_TIMEOUT(split, faults_on_two_pages_of_one_block, 120)
{
	const size_t half = BLOCK / 2;
	uint64_t end = storm_end();
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		char *to = buf_alloc(BLOCK), *two = buf_alloc(2 * BLOCK);
		const char *pages[2] = { to + half - self->page, to + half };
		int fd = npu_open(0);

		while (now_ms() < end) {
			if (mmap(two, 2 * BLOCK, PROT_READ | PROT_WRITE,
				 MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE |
				 MAP_PEER_SHARED, -1, 0) != two)
				_exit(1);
			buf_fill(two, 2 * BLOCK, 1);
			if (to_device(fd, two, 2 * BLOCK))
				_exit(2);
			/* One mapping again: the addresses go on where they did. */
			if (mremap(two + half, BLOCK, BLOCK, MREMAP_FIXED |
				   MREMAP_MAYMOVE, to) != to)
				_exit(3);
			touch_together(pages, 2);
			if (pages_on_device(to, BLOCK) == PAGES)
				_exit(4);
		}
		_exit(0);
	}
	EXPECT_EQ(0, child_result(child, end - now_ms() + 20000));
}

GMEM_TEST_MAIN
