// SPDX-License-Identifier: GPL-2.0
/* The device goes away: unplug, unload, and a hundred times again. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

static const struct npu_config defaults;

FIXTURE(unload)
{
	size_t len;
	char *buf;
};

FIXTURE_SETUP(unload)
{
	int fd;

	npu_require(&defaults);
	fd = npu_open(0);
	self->len = 2 * BLOCK + 9 * page_size();
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(fd, self->buf, self->len));
	close(fd);
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(unload)
{
	npu_require(&defaults);
}

TEST_F(unload, brings_data_home)
{
	char path[64];

	ASSERT_EQ(0, npu_unload());
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_NE(0, npu_node(0, path, sizeof(path)));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

TEST_F(unload, refused_while_a_file_is_open)
{
	int fd = npu_open(1);

	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(-EAGAIN, npu_unload());
	EXPECT_EQ(0, npu_run1(fd, cmd_fill(self->buf, 0x15, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	close(fd);
	EXPECT_EQ(0, npu_unload());
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x15));
}

/* A device that comes later sees memory that was mapped before. */
TEST_F(unload, reload_sees_old_memory)
{
	int fd;

	ASSERT_EQ(0, npu_unload());
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	ASSERT_EQ(0, npu_load(&defaults));
	fd = npu_open(1);
	ASSERT_EQ(0, to_device(fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	close(fd);
}

static int unplug(int index)
{
	char path[96];

	snprintf(path, sizeof(path),
		 "/sys/kernel/debug/npu_stub/npu%d/unplug", index);
	return file_write(path, "1");
}

TEST_F(unload, unplug_with_live_data)
{
	int fd = npu_open(0), other = npu_open(1);
	int hnid = npu_info(fd).hnid;
	long err;

	ASSERT_EQ(0, npu_run1(fd, cmd_read(self->buf, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, unplug(0));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	EXPECT_EQ(-ENODEV, npu_run1(fd, cmd_read(self->buf, 8)));
	err = hmadvise(hnid, self->buf, self->len, MADV_PREFETCH);
	EXPECT_TRUE(err == -EINVAL || err == -ENODEV);
	/* The other one does not mind. */
	EXPECT_EQ(0, npu_run1(other, cmd_fill(self->buf, 0x16, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x16));
	close(other);
	close(fd);
}

TEST_F(unload, unplug_with_a_running_job)
{
	struct npu_cmd cmds[] = {
		cmd_fill(self->buf, 0x17, self->len), cmd_nop(10000000),
		cmd_fill(self->buf, 0x18, self->len),
	};
	int fd = npu_open(0);
	uint64_t job = npu_start(fd, cmds, 3), queued = npu_start(fd, cmds, 3);
	struct npu_wait result;

	ASSERT_NE(0, job);
	ASSERT_NE(0, queued);
	sleep_ms(100);
	ASSERT_TRUE(npu_busy(fd));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, unplug(0));
	ASSERT_EQ(0, npu_wait(fd, job, 3000, &result));
	EXPECT_EQ(-ENODEV, result.status);
	ASSERT_EQ(0, npu_wait(fd, queued, 3000, &result));
	EXPECT_EQ(-ENODEV, result.status);
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x17));
	close(fd);
}

/* KiB of free pages on the per-cpu lists, which MemAvailable leaves out. */
static long long pcp_kib(void)
{
	FILE *zones = fopen("/proc/zoneinfo", "r");
	long long pages = 0, count;
	char line[256];

	if (!zones)
		return 0;
	while (fgets(line, sizeof(line), zones))
		if (sscanf(line, " count: %lld", &count) == 1)
			pages += count;
	fclose(zones);
	return pages * (long long)page_size() / 1024;
}

/* KiB of the host's memory in use, without what can be dropped. */
static long long used_kib(void)
{
	file_write("/proc/sys/vm/drop_caches", "3");
	sleep_ms(300);
	return file_find("/proc/meminfo", "MemTotal") -
	       file_find("/proc/meminfo", "MemAvailable") - pcp_kib();
}

static long long slab_kib(void)
{
	return file_find("/proc/meminfo", "SUnreclaim");
}

/*
 * Tolerance of the two cycle tests: sheaves and partial slabs of a machine that
 * does other things. A leak of one page per cycle of 100 would
 * be 400 KiB of slab; one chunk per cycle 200 MiB. Small runs are for debug
 * kernels, whose KASAN keeps freed objects for a while; kmemleak looks there.
 */
#define USED_TOLERANCE	scaled(1024, 64 * 1024)
#define SLAB_TOLERANCE	scaled(384, 16 * 1024)

#define CYCLE_LEN	(BLOCK + 3 * page_size())

static void cycle_attach(struct __test_metadata *_metadata, char *buf)
{
	int fd = npu_open(0);

	ASSERT_EQ(0, npu_run1(fd, cmd_fill(buf, 0x19, CYCLE_LEN)));
	ASSERT_TRUE(on_device(buf, CYCLE_LEN));
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, madvise(buf, CYCLE_LEN, MADV_DONTNEED));
}

static void cycle_load(struct __test_metadata *_metadata, char *buf)
{
	int fd;

	ASSERT_EQ(0, npu_load(&defaults));
	fd = npu_open(1);
	ASSERT_EQ(0, npu_run1(fd, cmd_fill(buf, 0x1a, CYCLE_LEN)));
	ASSERT_TRUE(on_device(buf, CYCLE_LEN));
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, npu_unload());
	ASSERT_TRUE(buf_is(buf, CYCLE_LEN, 0x1a));
	ASSERT_EQ(0, madvise(buf, CYCLE_LEN, MADV_DONTNEED));
}

static void check_cycles(struct __test_metadata *_metadata,
			 void (*cycle)(struct __test_metadata *, char *))
{
	char *buf = buf_alloc(CYCLE_LEN);
	int cycles = scaled(100, 10), i;
	long long used, slab;

	for (i = 0; i < 5; i++)
		cycle(_metadata, buf);
	used = used_kib();
	slab = slab_kib();
	for (i = 0; i < cycles; i++)
		cycle(_metadata, buf);
	EXPECT_GT(used + USED_TOLERANCE, used_kib());
	EXPECT_GT(slab + SLAB_TOLERANCE, slab_kib());
}

TEST_F_TIMEOUT(unload, attach_cycles, 300)
{
	int fd = npu_open(0);
	uint64_t free;

	munmap(self->buf, self->len);
	ASSERT_TRUE(npu_wait_free(fd, npu_info(fd).mem_total, 2000));
	free = npu_info(fd).mem_free;
	close(fd);
	check_cycles(_metadata, cycle_attach);
	fd = npu_open(0);
	EXPECT_TRUE(npu_wait_free(fd, free, 2000));
	close(fd);
}

TEST_F_TIMEOUT(unload, load_cycles, 300)
{
	int fd;

	ASSERT_EQ(0, npu_unload());
	check_cycles(_metadata, cycle_load);
	ASSERT_EQ(0, npu_load(&defaults));
	fd = npu_open(0);
	EXPECT_EQ(npu_info(fd).mem_total, npu_info(fd).mem_free);
	close(fd);
}

GMEM_TEST_MAIN
