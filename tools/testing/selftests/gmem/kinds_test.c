// SPDX-License-Identifier: GPL-2.0
/* Kinds of memory that devices cannot use: refused, whenever it comes to be there. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "uring.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

#define PAGES	8

FIXTURE(kinds)
{
	int fd;
	size_t page;
	char *buf;
	struct uring uring;
};

FIXTURE_SETUP(kinds)
{
	npu_require(&(struct npu_config){ });
	self->fd = npu_open(0);
	self->page = page_size();
	self->buf = buf_alloc(PAGES * self->page);
	buf_fill(self->buf, PAGES * self->page, 1);
	uring_open(&self->uring);
}

FIXTURE_TEARDOWN(kinds)
{
	uring_close(&self->uring);
	close(self->fd);
}

/* Registers of a PCI device, of which the program says that devices may map them. */
static char *map_registers(void *at, size_t page)
{
	char *found = MAP_FAILED;
	glob_t paths;
	size_t i;
	int fd;

	if (glob("/sys/bus/pci/devices/*/resource[0-9]", 0, NULL, &paths))
		return MAP_FAILED;
	for (i = 0; i < paths.gl_pathc && found == MAP_FAILED; i++) {
		fd = open(paths.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		found = mmap(at, page, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_PEER_SHARED | (at ? MAP_FIXED : 0), fd, 0);
		close(fd);
	}
	globfree(&paths);
	return found;
}

static int fault_at(int fd, struct npu_cmd cmd, const void *at, size_t page)
{
	struct npu_wait result;
	int err = npu_run_result(fd, &cmd, 1, &result);

	if (err == -EFAULT && (result.fault_addr & -page) != (uintptr_t)at)
		return -ENXIO;
	return err;
}

static void refused(struct __test_metadata *_metadata, FIXTURE_DATA(kinds) *self,
		    char *at)
{
	int node = npu_info(self->fd).hnid;

	EXPECT_EQ(-EFAULT, fault_at(self->fd, cmd_read(at, self->page), at, self->page));
	EXPECT_EQ(-EFAULT, fault_at(self->fd, cmd_fill(at, 1, self->page), at, self->page));
	EXPECT_EQ(-EINVAL, hmadvise(node, at, self->page, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(node, at, self->page, MADV_PINNED));
	EXPECT_EQ(-EINVAL, hmadvise(-1, at, self->page, MADV_READ_MOSTLY));
}

TEST_F(kinds, of_a_driver)
{
	char *at = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_PEER_SHARED, self->uring.fd, IORING_OFF_SQES);

	ASSERT_NE(MAP_FAILED, at);
	ASSERT_TRUE(smaps_has_flag(at, "ps"));
	ASSERT_TRUE(smaps_has_flag(at, "mm"));
	refused(_metadata, self, at);
	munmap(at, self->page);
}

/* In the place of memory that the device uses. */
TEST_F(kinds, mapped_later)
{
	char *at = self->buf + 2 * self->page;

	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 2, PAGES * self->page)));
	if (map_registers(at, self->page) != at)
		SKIP(return, "no registers to map");
	ASSERT_TRUE(smaps_has_flag(at, "io"));
	refused(_metadata, self, at);
	EXPECT_EQ(-EFAULT, fault_at(self->fd, cmd_read(self->buf, PAGES * self->page), at,
				    self->page));
	EXPECT_TRUE(buf_is(self->buf, 2 * self->page, 2));
	EXPECT_TRUE(buf_is(at + self->page, (PAGES - 3) * self->page, 2));
}

TEST_F(kinds, moved_later)
{
	char *at = self->buf + 2 * self->page;
	char *from = map_registers(NULL, self->page);

	if (from == MAP_FAILED)
		SKIP(return, "no registers to map");
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 2, PAGES * self->page)));
	ASSERT_EQ(at, mremap(from, self->page, self->page,
			     MREMAP_MAYMOVE | MREMAP_FIXED, at));
	refused(_metadata, self, at);
	EXPECT_TRUE(buf_is(self->buf, 2 * self->page, 2));
}

/* The kernel has no address for its pages: to read them would be its end. */
TEST_F(kinds, secret)
{
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	char *at;

	if (fd < 0)
		SKIP(return, "no memfd_secret()");
	ASSERT_EQ(0, ftruncate(fd, self->page));
	at = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_PEER_SHARED, fd, 0);
	if (at != MAP_FAILED) {
		*at = 1;
		refused(_metadata, self, at);
	}
	EXPECT_EQ(MAP_FAILED, at);
	EXPECT_EQ(EINVAL, errno);
	/* Without the flag it is not a device's either. */
	at = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, at);
	*at = 1;
	refused(_metadata, self, at);
	munmap(at, self->page);
	close(fd);
}

TEST_F(kinds, hugetlb)
{
	int fd = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, BLOCK));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, BLOCK, PROT_READ, MAP_SHARED | MAP_PEER_SHARED,
				   fd, 0));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

GMEM_TEST_MAIN
