// SPDX-License-Identifier: GPL-2.0
/*
 * What the logical page table costs, by the slab's own figure: at most 64 KiB
 * per GiB held in 2 MiB entries, 4 MiB per GiB held in small ones.
 */
#include <stdio.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

/* What the table is made of: the tree's nodes, and what GMEM names as its own. */
/*
 * Free objects that a CPU or a node keeps at hand count as active, so they are
 * given back first: what is left is what is in use.
 */
static long long slab_bytes(void)
{
	unsigned long active, total, size;
	long long bytes = 0;
	char line[256], name[64];
	FILE *f;

	file_write("/sys/kernel/slab/radix_tree_node/shrink", "1");
	f = fopen("/proc/slabinfo", "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %lu %lu %lu", name, &active, &total,
			   &size) == 4 &&
		    (!strcmp(name, "radix_tree_node") ||
		     !strncmp(name, "gmem", 4)))
			bytes += active * size;
	}
	fclose(f);
	return bytes;
}

FIXTURE(mem)
{
	int fd;
	size_t len;
	char *buf;
};

FIXTURE_SETUP(mem)
{
	int mib = scaled(1024, 256);

	if (!test_small() &&
	    file_find("/proc/meminfo", "MemTotal") < 3 * 1024 * 1024)
		SKIP(return, "needs 3 GiB");
	if (slab_bytes() < 0)
		SKIP(return, "no /proc/slabinfo");
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = mib });
	self->fd = npu_open(0);
	self->len = mib / 2 * MiB;
	self->buf = buf_alloc(self->len);
}

FIXTURE_TEARDOWN(mem)
{
	close(self->fd);
}

/* What is divided by this is the part of @bytes for each GiB. */
#define GiB_PER(bytes)	(1024 * MiB / (bytes))

/* What else in the machine takes or frees a node while a case runs. */
#define SLACK	(scaled(64, 16) * KiB)

TEST_F_TIMEOUT(mem, blocks, 120)
{
	long long before;

	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_HUGEPAGE));
	ASSERT_EQ(0, to_device(self->fd, self->buf, BLOCK));
	before = slab_bytes();
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	TH_LOG("%lld bytes for %zu MiB in blocks", slab_bytes() - before,
	       self->len / MiB);
	EXPECT_GE(before + self->len / GiB_PER(64 * KiB) + SLACK, slab_bytes());
}

TEST_F_TIMEOUT(mem, small_pages, 120)
{
	long long before;

	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, to_device(self->fd, self->buf, page_size()));
	before = slab_bytes();
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	TH_LOG("%lld bytes for %zu MiB in pages", slab_bytes() - before,
	       self->len / MiB);
	EXPECT_GE(before + self->len / GiB_PER(4 * MiB) + SLACK, slab_bytes());
}

/* The worst case: no page is like its neighbour, so nothing can be merged. */
TEST_F_TIMEOUT(mem, every_second_page, 120)
{
	size_t len = self->len / 4, page = page_size(), i;
	long long before;

	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, to_device(self->fd, self->buf, page));
	before = slab_bytes();
	for (i = 0; i < len; i += 2 * page)
		ASSERT_EQ(0, to_device(self->fd, self->buf + i, page));
	ASSERT_EQ(len / page / 2, pages_on_device(self->buf, len));
	TH_LOG("%lld bytes for %zu MiB of single pages", slab_bytes() - before,
	       len / MiB);
	EXPECT_GE(before + len / GiB_PER(4 * MiB) + SLACK, slab_bytes());
	/* The control: there is a table, and it is in what is counted. */
	EXPECT_LT(before + len / GiB_PER(MiB), slab_bytes());
	/* And it goes with the memory, after a grace period. */
	ASSERT_EQ(0, munmap(self->buf, self->len));
	ASSERT_TRUE(npu_wait_free(self->fd, npu_info(self->fd).mem_total, 5000));
	for (i = 0; i < 50 && slab_bytes() > before + (long long)SLACK; i++)
		sleep_ms(100);
	EXPECT_GE(before + SLACK, slab_bytes());
}

GMEM_TEST_MAIN
