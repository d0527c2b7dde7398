// SPDX-License-Identifier: GPL-2.0
/*
 * Mistakes of the kernel that are easily missed: each test fails for certain
 * when one check, flush or mark is left out.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define AREA	(64 * KiB)

FIXTURE(missed)
{
	int fd;
	char *buf;		/* a block of small pages */
	uint32_t *out;		/* where the device stores what it sees */
};

FIXTURE_SETUP(missed)
{
	npu_require(&(struct npu_config){});
	self->fd = npu_open(0);
	self->buf = buf_alloc(BLOCK);
	self->out = buf_alloc(page_size());
	ASSERT_EQ(0, madvise(self->buf, BLOCK, MADV_NOHUGEPAGE));
}

FIXTURE_TEARDOWN(missed)
{
	munmap(self->buf, BLOCK);
	munmap(self->out, page_size());
	close(self->fd);
}

/* What the device finds at an address; 0xdead when the job fails. */
static uint32_t device_sees(FIXTURE_DATA(missed) *self, const void *word)
{
	*self->out = 0xdead;
	npu_run1(self->fd, cmd_copy(self->out, word, sizeof(*self->out)));
	return *self->out;
}

/* Pages that were just used are in a batch, not on a list of the LRU. */
static void drain_lru(void)
{
	if (file_write("/proc/sys/vm/drop_caches", "1"))
		die("cannot drop caches");
}

/* No flush after a release: a core goes on with the translation it had. */
TEST_F(missed, translation_is_flushed)
{
	size_t page = page_size(), at;

	for (at = 0; at < BLOCK; at += AREA) {
		uint32_t *word = (uint32_t *)(self->buf + at + at / AREA % 8 * page);

		*word = 1 + at;
		ASSERT_EQ(0, to_device(self->fd, word, page));
		ASSERT_TRUE(on_device(word, page));
		/* On both cores, as it happens. */
		ASSERT_EQ(1 + at, device_sees(self, word));
		ASSERT_EQ(1 + at, device_sees(self, word));
		*word = 2 + at;
		EXPECT_EQ(0, pages_on_device(word, page));
		EXPECT_EQ(2 + at, device_sees(self, word));
		EXPECT_EQ(2 + at, device_sees(self, word));
	}
}

/* The same with a block that one large entry maps. */
TEST_F(missed, large_translation_is_flushed)
{
	char *block = buf_alloc(BLOCK);
	size_t at;

	ASSERT_EQ(0, madvise(block, BLOCK, MADV_HUGEPAGE));
	memset(block, 3, BLOCK);
	ASSERT_EQ(0, to_device(self->fd, block, BLOCK));
	ASSERT_TRUE(on_device(block, BLOCK));
	for (at = 0; at < BLOCK; at += BLOCK / 4)
		ASSERT_EQ(0x03030303, device_sees(self, block + at));
	memset(block, 4, BLOCK);
	EXPECT_EQ(0, pages_on_device(block, BLOCK));
	for (at = 0; at < BLOCK; at += BLOCK / 4)
		EXPECT_EQ(0x04040404, device_sees(self, block + at));
	munmap(block, BLOCK);
}

/* One change takes pages that do not touch. */
TEST_F(missed, translations_of_several_pages_are_flushed)
{
	static const size_t pages[] = { 0, 3, 9, 15 };
	uint32_t *words[ARRAY_SIZE(pages)];
	size_t i, pass;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		words[i] = (uint32_t *)(self->buf + pages[i] * page_size());
		*words[i] = 1;
		ASSERT_EQ(0, to_device(self->fd, words[i], page_size()));
	}
	ASSERT_EQ(ARRAY_SIZE(pages), pages_on_device(self->buf, AREA));
	/* On both cores, as it happens. */
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < ARRAY_SIZE(pages); i++)
			ASSERT_EQ(1, device_sees(self, words[i]));
	ASSERT_EQ(0, madvise(self->buf, AREA, MADV_DONTNEED));
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		*words[i] = 2;
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < ARRAY_SIZE(pages); i++)
			EXPECT_EQ(2, device_sees(self, words[i]));
}

/* Both contexts of a device lose a page that goes home. */
TEST_F(missed, every_context_loses_a_page)
{
	int fds[] = { self->fd, npu_open(0) };
	uint32_t *word = (uint32_t *)self->buf;
	size_t i;

	*word = 1;
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		self->fd = fds[i];
		ASSERT_EQ(0, to_device(self->fd, word, page_size()));
		ASSERT_EQ(1, device_sees(self, word));
	}
	ASSERT_TRUE(on_device(word, page_size()));
	*word = 2;
	for (i = ARRAY_SIZE(fds); i-- > 0;) {
		self->fd = fds[i];
		EXPECT_EQ(2, device_sees(self, word));
		/* It is at home again for the next one. */
		EXPECT_EQ(2, *word);
	}
	self->fd = fds[0];
	close(fds[1]);
}

/* A context that comes later asks for a part of a large device page. */
TEST_F(missed, middle_of_a_large_page)
{
	char *block = buf_alloc(BLOCK), *same = buf_alloc(BLOCK);
	size_t part = BLOCK / 2 + AREA, at;
	int other, first = self->fd;

	ASSERT_EQ(0, madvise(block, BLOCK, MADV_HUGEPAGE));
	buf_fill(block, BLOCK, 5);
	buf_fill(same, BLOCK, 5);
	ASSERT_EQ(0, to_device(first, block, BLOCK));
	ASSERT_TRUE(on_device(block, BLOCK));
	other = npu_open(0);
	ASSERT_EQ(0, to_device(other, block + part, AREA));
	self->fd = other;
	for (at = part; at < part + AREA; at += page_size())
		EXPECT_EQ(*(uint32_t *)(same + at), device_sees(self, block + at));
	self->fd = first;
	close(other);
	EXPECT_TRUE(on_device(block, BLOCK));
	EXPECT_TRUE(buf_check(block, BLOCK, 5));
	munmap(block, BLOCK);
	munmap(same, BLOCK);
}

/* Of a run of device pages the first is free, the others are not. */
TEST_F(missed, run_of_which_one_page_is_free)
{
	char *one = self->buf, *two = self->buf + BLOCK / 2;
	size_t page = page_size();

	memset(one, 1, AREA);
	memset(two, 2, AREA);
	ASSERT_EQ(0, to_device(self->fd, one, AREA));
	ASSERT_TRUE(on_device(one, AREA));
	ASSERT_EQ(0, madvise(one, page, MADV_DONTNEED));
	ASSERT_EQ(0, to_device(self->fd, two, AREA));
	ASSERT_TRUE(on_device(two, AREA));
	EXPECT_TRUE(buf_is(one + page, AREA - page, 1));
	EXPECT_TRUE(buf_is(two, AREA, 2));
}

/*
 * Reclaim drops pages after MADV_FREE if they are clean. Those that the device
 * does not write show that it does.
 */
#define LAZY	(self->buf)
#define CONTROL	(self->buf + BLOCK / 2)

static void make_lazy(struct __test_metadata *_metadata, FIXTURE_DATA(missed) *self)
{
	memset(LAZY, 0x11, AREA);
	memset(CONTROL, 0x11, AREA);
	drain_lru();
	ASSERT_EQ(0, madvise(LAZY, AREA, MADV_FREE));
	ASSERT_EQ(0, madvise(CONTROL, AREA, MADV_FREE));
	drain_lru();
}

static void expect_only_control_dropped(struct __test_metadata *_metadata,
					FIXTURE_DATA(missed) *self)
{
	drain_lru();
	ASSERT_EQ(0, madvise(LAZY, AREA, MADV_PAGEOUT));
	ASSERT_EQ(0, madvise(CONTROL, AREA, MADV_PAGEOUT));
	EXPECT_TRUE(buf_is(LAZY, AREA, 0x4a));
	/* Else this test shows nothing. */
	EXPECT_TRUE(buf_is(CONTROL, AREA, 0));
}

TEST_F(missed, host_page_mapped_writable_is_dirty)
{
	uint64_t remote = npu_info(self->fd).remote;

	ASSERT_EQ(0, hmadvise(npu_info(self->fd).hnid, LAZY, AREA, MADV_ACCESSED_BY));
	make_lazy(_metadata, self);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(LAZY, 0x4a, AREA)));
	ASSERT_EQ(0, pages_on_device(LAZY, AREA));
	ASSERT_LE(remote + AREA, npu_info(self->fd).remote);
	expect_only_control_dropped(_metadata, self);
}

/* KPF_ flags of the page at an address; 0 when there is none. */
static uint64_t page_flags(const char *addr)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0, found = 0;

	if (pread(pagemap, &entry, sizeof(entry),
		  (uintptr_t)addr / page_size() * sizeof(entry)) != sizeof(entry))
		die("cannot read pagemap");
	entry &= (1ULL << 55) - 1;
	if (entry && pread(flags, &found, sizeof(found), entry * sizeof(found)) != sizeof(found))
		die("cannot read kpageflags");
	close(flags);
	close(pagemap);
	return found;
}

#define DIRTY	(1 << 4)

TEST_F(missed, page_that_came_home_is_dirty)
{
	size_t at;

	make_lazy(_metadata, self);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(LAZY, 0x4a, AREA)));
	ASSERT_TRUE(on_device(LAZY, AREA));
	ASSERT_EQ(0, pages_on_device(CONTROL, AREA));
	ASSERT_EQ(0, to_home(LAZY, AREA));
	ASSERT_EQ(0, pages_on_device(LAZY, AREA));
	for (at = 0; at < AREA; at += page_size())
		EXPECT_EQ(DIRTY, page_flags(LAZY + at) & DIRTY);
	expect_only_control_dropped(_metadata, self);
}

/* A device that writes may also read: it needs both rights. */
TEST_F(missed, area_that_may_only_be_written)
{
	struct npu_wait result;
	struct npu_cmd cmd;

	memset(self->buf, 0x11, AREA);
	ASSERT_EQ(0, mprotect(self->buf, BLOCK, PROT_WRITE));
	cmd = cmd_fill(self->buf, 0x4a, AREA);
	EXPECT_EQ(-EFAULT, npu_run_result(self->fd, &cmd, 1, &result));
	EXPECT_EQ((uintptr_t)self->buf, result.fault_addr);
	/* Also where no page is yet. */
	cmd = cmd_fill(self->buf + BLOCK / 2, 0x4a, AREA);
	EXPECT_EQ(-EFAULT, npu_run_result(self->fd, &cmd, 1, &result));
	EXPECT_EQ((uintptr_t)self->buf + BLOCK / 2, result.fault_addr);
	cmd = cmd_read(self->buf, AREA);
	EXPECT_EQ(-EFAULT, npu_run_result(self->fd, &cmd, 1, &result));
	ASSERT_EQ(0, mprotect(self->buf, BLOCK, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, pages_on_device(self->buf, BLOCK));
	EXPECT_TRUE(buf_is(self->buf, AREA, 0x11));
	EXPECT_TRUE(buf_is(self->buf + BLOCK / 2, AREA, 0));
}

/* Missing pages of such an area come from its program, and from nobody else. */
TEST_F(missed, area_of_userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)self->buf, BLOCK },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct npu_info before;
	struct npu_wait result;
	struct npu_cmd cmd;
	unsigned char there[BLOCK / (4 * KiB)];
	size_t i, nr = BLOCK / page_size();
	int uffd;

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	before = npu_info(self->fd);

	cmd = cmd_fill(self->buf, 0x4a, AREA);
	EXPECT_EQ(-EFAULT, npu_run_result(self->fd, &cmd, 1, &result));
	EXPECT_EQ((uintptr_t)self->buf, result.fault_addr);
	cmd = cmd_read(self->buf + BLOCK / 2, AREA);
	EXPECT_EQ(-EFAULT, npu_run_result(self->fd, &cmd, 1, &result));
	EXPECT_EQ(-EBUSY, to_device(self->fd, self->buf, BLOCK));

	EXPECT_EQ(before.zeroed, npu_info(self->fd).zeroed);
	EXPECT_EQ(0, pages_on_device(self->buf, BLOCK));
	ASSERT_EQ(0, mincore(self->buf, BLOCK, there));
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, there[i] & 1);
	/* Then nobody waits for the program any more. */
	close(uffd);
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x4a, AREA)));
	EXPECT_TRUE(buf_is(self->buf, AREA, 0x4a));
}

/*
 * The CPU page table changes between the kernel's look at it and the entry in
 * the device's page table, which takes a while to build.
 */
TEST_F_TIMEOUT(missed, page_that_changes_while_it_is_mapped, 60)
{
	static const char slow[] = "/sys/kernel/debug/npu_stub/npu0/prepare_ms";
	uint32_t *word = (uint32_t *)self->buf;
	char *other = buf_alloc(BLOCK);
	struct npu_cmd cmd = cmd_read(word, sizeof(*word));
	struct npu_wait result;
	uint64_t job;

	ASSERT_EQ(0, madvise(other, BLOCK, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, hmadvise(npu_info(self->fd).hnid, self->buf, BLOCK, MADV_ACCESSED_BY));
	/* A page next to it keeps the directory's node, which would be missed otherwise. */
	self->buf[page_size()] = 9;
	ASSERT_EQ(9, device_sees(self, self->buf + page_size()));
	*word = 1;
	ASSERT_EQ(0, file_write(slow, "1000"));
	job = npu_start(self->fd, &cmd, 1);
	ASSERT_NE(0, job);
	sleep_ms(400);
	/* The page goes, somebody else gets it, and another one takes its place. */
	EXPECT_EQ(0, madvise(self->buf, page_size(), MADV_DONTNEED));
	memset(other, 0xee, BLOCK);
	*word = 2;
	EXPECT_EQ(0, npu_wait(self->fd, job, 20000, &result));
	EXPECT_EQ(0, result.status);
	ASSERT_EQ(0, file_write(slow, "0"));
	EXPECT_EQ(2, device_sees(self, word));
	EXPECT_EQ(2, device_sees(self, word));
	*word = 3;
	EXPECT_EQ(3, device_sees(self, word));
	munmap(other, BLOCK);
}

/* What leaves for want of room is counted where users look. */
TEST_F_TIMEOUT(missed, evicted_pages_are_counted, 60)
{
	size_t total, len, at;
	long long evicted, pages;
	char *buf;

	close(self->fd);
	npu_unload();
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 16 });
	self->fd = npu_open(0);
	total = npu_info(self->fd).mem_total;
	len = 2 * total;
	buf = buf_alloc(len);
	evicted = npu_stat(0, "evicted");
	pages = vmstat("gmem_evict");
	ASSERT_EQ(0, evicted);
	ASSERT_LE(0, pages);
	for (at = 0; at < len; at += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(buf + at, 1 + at / BLOCK, BLOCK)));
	/* The worker may be at it still. */
	for (at = 0; at < 100; at++) {
		evicted = npu_stat(0, "evicted");
		if ((vmstat("gmem_evict") - pages) * page_size() == evicted &&
		    evicted == npu_stat(0, "evicted"))
			break;
		sleep_ms(20);
	}
	EXPECT_LE(total, evicted);
	EXPECT_EQ(evicted, (vmstat("gmem_evict") - pages) * (long long)page_size());
	EXPECT_EQ(evicted, npu_info(self->fd).evicted);
	munmap(buf, len);
}

GMEM_TEST_MAIN
