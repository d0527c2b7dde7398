// SPDX-License-Identifier: GPL-2.0
/*
 * Who tracks writes sees those of a device: soft-dirty bits and asynchronous
 * write protection by userfaultfd.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define PAGES		64
#define PM_SOFT_DIRTY	(1ULL << 55)

FIXTURE(track)
{
	int fd, pagemap;
	size_t page, len;
	char *buf;
};

FIXTURE_VARIANT(track)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(track, small_pages) { .len = PAGES * 4 * KiB };
FIXTURE_VARIANT_ADD(track, block) { .len = BLOCK };

FIXTURE_SETUP(track)
{
	self->fd = npu_open(0);
	self->page = page_size();
	self->len = variant->len;
	self->buf = buf_alloc(self->len);
	self->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->pagemap);
}

FIXTURE_TEARDOWN(track)
{
	munmap(self->buf, self->len);
	close(self->pagemap);
	close(self->fd);
}

static int device_writes(int fd, char *buf, size_t page)
{
	return npu_run1(fd, cmd_fill(buf + page * page_size() + 8, 0x77, 8));
}

static void clear_soft_dirty(void)
{
	if (file_write("/proc/self/clear_refs", "4"))
		die("no soft-dirty bits");
}

static bool soft_dirty(int pagemap, const char *addr)
{
	uint64_t entry;

	if (pread(pagemap, &entry, 8, (uintptr_t)addr / page_size() * 8) != 8)
		die("pagemap");
	return entry & PM_SOFT_DIRTY;
}

static size_t nr_soft_dirty(int pagemap, const char *buf, size_t len)
{
	size_t nr = 0, i;

	for (i = 0; i < len; i += page_size())
		nr += soft_dirty(pagemap, buf + i);
	return nr;
}

TEST_F(track, soft_dirty_pages_on_device)
{
	const size_t writes[] = { 5, 9, 5, 40 };
	size_t i;

	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		char *addr = self->buf + writes[i] * self->page;

		ASSERT_TRUE(on_device(addr, self->page));
		clear_soft_dirty();
		ASSERT_EQ(0, npu_run1(self->fd, cmd_read(self->buf, self->len)));
		if (self->len < BLOCK)
			EXPECT_EQ(0, nr_soft_dirty(self->pagemap, self->buf,
						   self->len));
		ASSERT_EQ(0, device_writes(self->fd, self->buf, writes[i]));
		EXPECT_TRUE(soft_dirty(self->pagemap, addr)) {
			TH_LOG("write %zu", i);
		}
		if (self->len < BLOCK)
			EXPECT_EQ(1, nr_soft_dirty(self->pagemap, self->buf,
						   self->len));
		ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
		EXPECT_TRUE(soft_dirty(self->pagemap, addr));
	}
	/* And back to the CPU. */
	ASSERT_EQ(0, to_home(self->buf, self->len));
	EXPECT_TRUE(soft_dirty(self->pagemap, self->buf + 40 * self->page));
}

TEST_F(track, soft_dirty_pages_on_host)
{
	buf_fill(self->buf, self->len, 1);
	clear_soft_dirty();
	ASSERT_EQ(0, device_writes(self->fd, self->buf, 7));
	EXPECT_TRUE(soft_dirty(self->pagemap, self->buf + 7 * self->page));
	if (self->len < BLOCK)
		EXPECT_EQ(1, nr_soft_dirty(self->pagemap, self->buf, self->len));
}

/* Pages that the device is the first to use, before and after the clearing. */
TEST_F(track, soft_dirty_new_pages)
{
	clear_soft_dirty();
	ASSERT_EQ(0, device_writes(self->fd, self->buf, 3));
	ASSERT_TRUE(on_device(self->buf + 3 * self->page, self->page));
	EXPECT_TRUE(soft_dirty(self->pagemap, self->buf + 3 * self->page));
	clear_soft_dirty();
	ASSERT_EQ(0, device_writes(self->fd, self->buf, 3));
	EXPECT_TRUE(soft_dirty(self->pagemap, self->buf + 3 * self->page));
}

/* A change of protection and a fork leave the bits. */
TEST_F(track, soft_dirty_stays)
{
	char *addr = self->buf + 5 * self->page;

	buf_fill(self->buf, self->len, 1);
	clear_soft_dirty();
	ASSERT_EQ(0, device_writes(self->fd, self->buf, 5));
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_EQ(0, mprotect(self->buf, self->len, PROT_READ));
	ASSERT_EQ(0, mprotect(self->buf, self->len, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(on_device(addr, self->page));
	EXPECT_TRUE(soft_dirty(self->pagemap, addr));
}

static int uffd_make(char *buf, size_t len)
{
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register reg = {
		.range = { (uintptr_t)buf, len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		die("userfaultfd: %s", strerror(errno));
	return fd;
}

static void protect(int uffd, char *buf, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)buf, len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		die("UFFDIO_WRITEPROTECT: %s", strerror(errno));
}

/* How many pages were written, and the first of them. */
static size_t written(int pagemap, const char *buf, size_t len, size_t *first)
{
	struct page_region regions[PAGES];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)buf,
		.end = (uintptr_t)buf + len,
		.vec = (uintptr_t)regions,
		.vec_len = PAGES,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	long nr = ioctl(pagemap, PAGEMAP_SCAN, &arg), i;
	size_t pages = 0;

	if (nr < 0)
		die("PAGEMAP_SCAN: %s", strerror(errno));
	for (i = 0; i < nr; i++)
		pages += (regions[i].end - regions[i].start) / page_size();
	*first = nr ? (regions[0].start - (uintptr_t)buf) / page_size() : 0;
	return pages;
}

/* Let the device write some pages, one after another: those are reported. */
static void check_writes(struct __test_metadata *_metadata, int fd, int uffd,
			 int pagemap, char *buf, size_t len)
{
	static const size_t writes[] = { 5, 20, 6 };
	size_t first, i;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		protect(uffd, buf, len);
		EXPECT_EQ(0, written(pagemap, buf, len, &first));
		EXPECT_EQ(0, npu_run1(fd, cmd_read(buf, len)));
		EXPECT_EQ(0, written(pagemap, buf, len, &first)) {
			TH_LOG("reading %zu", i);
		}
		EXPECT_EQ(0, device_writes(fd, buf, writes[i]));
		EXPECT_EQ(1, written(pagemap, buf, len, &first)) {
			TH_LOG("write %zu", i);
		}
		EXPECT_EQ(writes[i], first);
	}
}

TEST_F(track, uffd_pages_on_device)
{
	int uffd;

	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	uffd = uffd_make(self->buf, self->len);
	check_writes(_metadata, self->fd, uffd, self->pagemap, self->buf,
		     self->len);
	close(uffd);
}

TEST_F(track, uffd_pages_on_host)
{
	int uffd;

	buf_fill(self->buf, self->len, 1);
	uffd = uffd_make(self->buf, self->len);
	check_writes(_metadata, self->fd, uffd, self->pagemap, self->buf,
		     self->len);
	close(uffd);
}

TEST_F(track, uffd_new_pages)
{
	int uffd = uffd_make(self->buf, self->len);
	size_t first;

	protect(uffd, self->buf, self->len);
	EXPECT_EQ(0, device_writes(self->fd, self->buf, 5));
	EXPECT_EQ(1, written(self->pagemap, self->buf, self->len, &first));
	EXPECT_EQ(5, first);
	close(uffd);
}

/* Pages that come home and go again are not written by that. */
TEST_F(track, uffd_moves)
{
	size_t first;
	int uffd;

	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	uffd = uffd_make(self->buf, self->len);
	protect(uffd, self->buf, self->len);
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	EXPECT_EQ(0, to_device(self->fd, self->buf, self->len));
	EXPECT_EQ(0, to_home(self->buf, self->len));
	EXPECT_EQ(0, written(self->pagemap, self->buf, self->len, &first));
	self->buf[9 * self->page] ^= 1;
	EXPECT_EQ(1, written(self->pagemap, self->buf, self->len, &first));
	EXPECT_EQ(9, first);
	close(uffd);
}

GMEM_TEST_MAIN
