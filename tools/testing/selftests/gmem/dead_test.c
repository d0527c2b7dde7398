// SPDX-License-Identifier: GPL-2.0
/* A device that goes with data on it: who touches the data learns it, nobody else. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "gmem_attr.h"
#include "gmem_util.h"

#ifndef BUS_MCEERR_AR
#define BUS_MCEERR_AR 4
#endif

static const struct npu_config defaults;

/* What the last touch came to: 0, or the code and address of the SIGBUS. */
static sigjmp_buf back;
static volatile int bus_code;
static void *volatile bus_addr;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	bus_code = info->si_code;
	bus_addr = info->si_addr;
	siglongjmp(back, 1);
}

/* Whether a touch of the byte says that it is lost, and says where. */
static bool is_lost(volatile char *byte, bool write)
{
	bus_code = 0;
	if (!sigsetjmp(back, 1)) {
		if (write)
			*byte = 1;
		else
			(void)*byte;
		return false;
	}
	return bus_code == BUS_MCEERR_AR &&
	       (uintptr_t)bus_addr / page_size() == (uintptr_t)byte / page_size();
}

/* The regions of physical addresses that name device pages. */
static int nr_regions(void)
{
	char line[256];
	int nr = 0;
	FILE *file = fopen("/proc/iomem", "r");

	while (file && fgets(line, sizeof(line), file))
		nr += !!strstr(line, ": gmem");
	if (file)
		fclose(file);
	return nr;
}

static bool node_exists(int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", node);
	return !access(path, F_OK);
}

FIXTURE(dead)
{
	size_t len, small;	/* BLOCK in one piece, and pages behind it */
	int node, regions;
	char *buf;
};

FIXTURE_VARIANT(dead)
{
	bool unload;
};

/* The hardware fails; or the driver goes while the hardware gives no data. */
FIXTURE_VARIANT_ADD(dead, power_failure) { .unload = false };
FIXTURE_VARIANT_ADD(dead, unload) { .unload = true };

FIXTURE_SETUP(dead)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	int fd;

	if (access("/sys/kernel/debug/fail_gmem_copy_from", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	ASSERT_EQ(0, npu_unload());
	ASSERT_EQ(0, nr_regions());
	npu_require(&defaults);
	ASSERT_EQ(0, sigaction(SIGBUS, &action, NULL));
	self->small = 9 * page_size();
	self->len = BLOCK + self->small;
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
	fd = npu_open(0);
	self->node = npu_info(fd).hnid;
	ASSERT_EQ(0, to_device(fd, self->buf, self->len));
	close(fd);
	ASSERT_TRUE(on_device(self->buf, self->len));
	self->regions = nr_regions();
	ASSERT_EQ(2, self->regions);
}

static void kill_npu(struct __test_metadata *_metadata, bool unload)
{
	if (!unload) {
		ASSERT_EQ(0, file_write("/sys/kernel/debug/npu_stub/npu0/die", "1"));
		return;
	}
	ASSERT_EQ(0, fail_start("fail_gmem_copy_from", 100, -1));
	EXPECT_EQ(0, npu_unload());
	EXPECT_LT(0, fail_stop("fail_gmem_copy_from"));
	/* That of the other one, on which nothing was. */
	ASSERT_EQ(1, nr_regions());
}

/* Nothing of the device is left, once nobody maps a lost page. */
static bool is_buried(int node, int regions)
{
	uint64_t end = now_ms() + 5000;

	while (now_ms() < end) {
		if (!node_exists(node) && nr_regions() == regions)
			return true;
		sleep_ms(10);
	}
	return false;
}

FIXTURE_TEARDOWN(dead)
{
	int left = variant->unload ? 0 : 1;

	EXPECT_TRUE(node_exists(self->node));
	EXPECT_EQ(left + 1, nr_regions());
	munmap(self->buf, self->len);
	EXPECT_TRUE(is_buried(self->node, left));
	EXPECT_EQ(0, variant->unload ? 0 : npu_unload());
	EXPECT_EQ(0, nr_regions());
	npu_require(&defaults);
}

TEST_F(dead, a_touch_is_a_signal)
{
	struct iovec local, remote;
	char byte = 7;

	kill_npu(_metadata, variant->unload);
	EXPECT_TRUE(is_lost(self->buf + BLOCK, false));
	EXPECT_TRUE(is_lost(self->buf + BLOCK + 5 * page_size() + 3, true));
	EXPECT_TRUE(is_lost(self->buf + 77 * page_size(), false));
	EXPECT_TRUE(is_lost(self->buf, true));
	/* Again: it does not become a page of zeroes. */
	EXPECT_TRUE(is_lost(self->buf, false));
	/* The kernel's own accesses fail. */
	local = (struct iovec){ &byte, 1 };
	remote = (struct iovec){ self->buf + 1, 1 };
	EXPECT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, write(STDOUT_FILENO, self->buf, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(7, byte);
	EXPECT_NE(0, to_home(self->buf, self->len));
	/* What is thrown away can be used again. */
	ASSERT_EQ(0, madvise(self->buf + BLOCK, page_size(), MADV_DONTNEED));
	EXPECT_FALSE(is_lost(self->buf + BLOCK, true));
	ASSERT_EQ(0, madvise(self->buf, page_size(), MADV_DONTNEED));
	EXPECT_FALSE(is_lost(self->buf, true));
	EXPECT_TRUE(is_lost(self->buf + page_size(), true));
}

TEST_F(dead, fork_and_exit)
{
	pid_t before = fork(), after;

	if (!before) {
		sleep_ms(100);
		_exit(0);
	}
	kill_npu(_metadata, variant->unload);
	after = fork();
	if (!after) {
		bool lost = is_lost(self->buf + 9, false) &&
			    is_lost(self->buf + BLOCK, true);

		/* Unmaps some, and the end all others. */
		munmap(self->buf + BLOCK / 2, BLOCK / 4);
		_exit(lost ? 42 : 1);
	}
	EXPECT_EQ(42, child_result(after, 5000));
	EXPECT_EQ(0, child_result(before, 5000));
	/* Who is not prepared for it dies of it. */
	after = fork();
	if (!after) {
		signal(SIGBUS, SIG_DFL);
		prctl(PR_SET_DUMPABLE, 0);
		_exit(*(volatile char *)self->buf);
	}
	EXPECT_EQ(-SIGBUS, child_result(after, 5000));
	EXPECT_TRUE(is_lost(self->buf + BLOCK - 1, false));
}

TEST_F(dead, mappings_change)
{
	char *moved;

	kill_npu(_metadata, variant->unload);
	ASSERT_EQ(0, mprotect(self->buf, 3 * page_size(), PROT_READ));
	EXPECT_TRUE(is_lost(self->buf, false));
	moved = mremap(self->buf + BLOCK, self->small, self->small,
		       MREMAP_MAYMOVE | MREMAP_FIXED, buf_alloc(BLOCK));
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_TRUE(is_lost(moved + page_size(), false));
	EXPECT_EQ(0, munmap(moved, self->small));
	EXPECT_EQ(0, madvise(self->buf, BLOCK, MADV_PAGEOUT));
	EXPECT_TRUE(is_lost(self->buf + BLOCK / 2, false));
}

/* Pages that are at home are not lost, wherever they lie. */
TEST_F(dead, neighbours)
{
	char *home = self->buf + BLOCK + 4 * page_size();
	int i;

	ASSERT_EQ(0, to_home(home, page_size()));
	ASSERT_EQ(1, self->small / page_size() -
		     pages_on_device(self->buf + BLOCK, self->small));
	kill_npu(_metadata, variant->unload);
	for (i = 0; i < 9; i++) {
		if (i == 4) {
			EXPECT_FALSE(is_lost(home, true));
			continue;
		}
		EXPECT_TRUE(is_lost(self->buf + BLOCK + i * page_size(), false));
	}
}

/* The next device is not confused by what is left of the last one. */
TEST_F(dead, the_next_device)
{
	char *more = buf_alloc(BLOCK);
	struct npu_wait result;
	struct npu_cmd cmd;
	int fd;

	kill_npu(_metadata, variant->unload);
	EXPECT_EQ(-EINVAL, hmadvise(self->node, more, BLOCK, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(self->node, more, BLOCK, MADV_PREFERRED_NODE));
	ASSERT_EQ(0, variant->unload ? npu_load(&defaults) : 0);
	fd = npu_open(1);
	EXPECT_NE(self->node, npu_info(fd).hnid);
	buf_fill(more, BLOCK, 2);
	ASSERT_EQ(0, to_device(fd, more, BLOCK));
	ASSERT_TRUE(on_device(more, BLOCK));
	EXPECT_TRUE(buf_check(more, BLOCK, 2));
	/* It cannot have what is lost, and says so. */
	cmd = cmd_read(self->buf + 5 * page_size(), 8);
	EXPECT_EQ(-EFAULT, npu_run_result(fd, &cmd, 1, &result));
	EXPECT_EQ((uintptr_t)cmd.src0, result.fault_addr);
	EXPECT_TRUE(is_lost(self->buf + 5 * page_size(), false));
	munmap(more, BLOCK);
	close(fd);
	EXPECT_EQ(0, variant->unload ? npu_unload() : 0);
}

/* Jobs end, files close, and what was pinned is given back. */
TEST_F(dead, under_a_running_job)
{
	struct npu_cmd cmds[] = {
		cmd_fill(self->buf, 3, self->len), cmd_nop(10000000),
		cmd_fill(self->buf, 4, self->len),
	};
	int fd = npu_open(0), other = npu_open(0);
	char *pinned = buf_alloc(BLOCK);
	struct npu_wait result;
	uint64_t job;

	if (variant->unload)
		goto out;
	ASSERT_EQ(0, hmadvise(self->node, pinned, BLOCK, MADV_PINNED));
	job = npu_start(fd, cmds, 3);
	ASSERT_NE(0, job);
	ASSERT_TRUE(npu_busy(fd));
	sleep_ms(50);
	kill_npu(_metadata, false);
	ASSERT_EQ(0, npu_wait(fd, job, 5000, &result));
	EXPECT_EQ(-ENODEV, result.status);
	EXPECT_EQ(-ENODEV, npu_run1(other, cmd_read(self->buf, 8)));
	EXPECT_TRUE(is_lost(pinned, true));
	EXPECT_EQ(0, attr_lines());
out:
	close(fd);
	close(other);
	munmap(pinned, BLOCK);
	if (variant->unload)
		kill_npu(_metadata, true);
	EXPECT_TRUE(is_lost(self->buf, false));
}

/* When nothing was lost nothing changes: the device works on, with its pins. */
TEST(a_failed_unplug_keeps_pins)
{
	char *buf = buf_alloc(BLOCK);
	struct attr seen;
	int fd, node;

	if (access("/sys/kernel/debug/fail_gmem_copy_from", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	npu_require(&defaults);
	fd = npu_open(0);
	node = npu_info(fd).hnid;
	buf_fill(buf, BLOCK, 4);
	ASSERT_EQ(0, hmadvise(node, buf, BLOCK, MADV_PINNED));
	ASSERT_EQ(BLOCK, npu_stat(0, "pinned"));
	ASSERT_EQ(0, fail_start("fail_gmem_copy_from", 100, -1));
	EXPECT_EQ(-EIO, file_write("/sys/kernel/debug/npu_stub/npu0/unplug", "1"));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_from"));
	EXPECT_EQ(BLOCK, npu_stat(0, "pinned"));
	attr_read(buf, 1, &seen);
	EXPECT_EQ(node, seen.pinned);
	EXPECT_EQ(0, npu_run1(fd, cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, BLOCK, 4));
	munmap(buf, BLOCK);
	EXPECT_EQ(0, npu_stat(0, "pinned"));
	close(fd);
}

/* The next device gets the number of the last one, but not what was said about it. */
TEST(advice_ends_with_its_device)
{
	size_t len = 64 * KiB;
	char *buf = buf_alloc(2 * len);
	struct attr seen;
	int fd, node;

	npu_require(&defaults);
	fd = npu_open(0);
	node = npu_info(fd).hnid;
	buf_fill(buf, 2 * len, 5);
	ASSERT_EQ(0, hmadvise(node, buf, len, MADV_ACCESSED_BY));
	ASSERT_EQ(0, hmadvise(node, buf + len, len, MADV_PREFERRED_NODE));
	ASSERT_EQ(0, npu_run1(fd, cmd_read(buf, len)));
	ASSERT_EQ(0, pages_on_device(buf, len));
	close(fd);
	ASSERT_EQ(0, npu_unload());
	EXPECT_EQ(0, attr_lines());
	ASSERT_EQ(0, npu_load(&defaults));
	fd = npu_open(0);
	attr_read(buf, 1, &seen);
	EXPECT_EQ(0, seen.accessed_by);
	attr_read(buf + len, 1, &seen);
	EXPECT_EQ(-1, seen.preferred);
	EXPECT_EQ(0, npu_run1(fd, cmd_read(buf, len)));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_check(buf, 2 * len, 5));
	close(fd);
	munmap(buf, 2 * len);
}

GMEM_TEST_MAIN
