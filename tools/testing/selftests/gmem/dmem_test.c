// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of device memory per cgroup: who is charged, who is evicted, and that
 * all of it comes back. NPU 0 has 32 MiB, charged in chunks of 2 MiB.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "dmem_util.h"

FIXTURE(dmem)
{
	size_t mem;
	size_t page;
};

FIXTURE_SETUP(dmem)
{
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = 32 });
	if (!dmem_available())
		SKIP(return, "no dmem controller");
	group_remove("gmem-a");
	group_remove("gmem-b");
	group_make("gmem-a");
	group_make("gmem-b");
	self->mem = npu_default_mem();
	self->page = page_size();
	ASSERT_EQ(0, dmem("gmem-a", "dmem.current"));
}

FIXTURE_TEARDOWN(dmem)
{
	/* Whatever happened: nothing stays charged to anybody. */
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
	EXPECT_TRUE(dmem_wait("gmem-b", 0));
	EXPECT_TRUE(dmem_wait("", 0));
	group_remove("gmem-a");
	group_remove("gmem-b");
}

TEST_F(dmem, capacity)
{
	EXPECT_EQ(32 * MiB, dmem("", "dmem.capacity"));
	EXPECT_EQ(-1, dmem("gmem-a", "dmem.max"));
	EXPECT_EQ(0, dmem("gmem-a", "dmem.min"));
	dmem_set("gmem-a", "dmem.max", 8 * MiB);
	EXPECT_EQ(8 * MiB, dmem("gmem-a", "dmem.max"));
}

/* The NPU's own threads make the faults; who they are for pays. */
TEST_F(dmem, charged_to_the_owner)
{
	struct tenant a, b;

	tenant_start(&a, "gmem-a", 8 * MiB, 1);
	tenant_start(&b, "gmem-b", 4 * MiB, 2);
	tenant_do(&a, USE);
	ASSERT_EQ(8 * MiB / self->page, a.report->resident);
	EXPECT_EQ(8 * MiB, dmem("gmem-a", "dmem.current"));
	EXPECT_EQ(0, dmem("gmem-b", "dmem.current"));
	tenant_do(&b, USE);
	ASSERT_EQ(4 * MiB / self->page, b.report->resident);
	EXPECT_EQ(8 * MiB, dmem("gmem-a", "dmem.current"));
	EXPECT_EQ(4 * MiB, dmem("gmem-b", "dmem.current"));
	/* All there is, is theirs: the root has no charge of its own. */
	EXPECT_EQ(12 * MiB, dmem("", "dmem.current"));
	/* Coming home ends it, with the processes alive. */
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
	EXPECT_EQ(4 * MiB, dmem("gmem-b", "dmem.current"));
	/* So does the exit. */
	EXPECT_EQ(0, tenant_end(&b));
	EXPECT_TRUE(dmem_wait("gmem-b", 0));
	EXPECT_EQ(0, tenant_end(&a));
}

/* A few pages are charged as the chunk that they keep from others. */
TEST_F(dmem, small)
{
	struct tenant a, b;

	tenant_start(&a, "gmem-a", 16 * self->page, 1);
	tenant_start(&b, "gmem-b", 16 * self->page, 2);
	tenant_do(&a, USE);
	tenant_do(&b, USE);
	ASSERT_EQ(16, a.report->resident);
	ASSERT_EQ(16, b.report->resident);
	EXPECT_EQ(BLOCK, dmem("gmem-a", "dmem.current"));
	EXPECT_EQ(BLOCK, dmem("gmem-b", "dmem.current"));
	EXPECT_EQ(0, tenant_end(&a));
	EXPECT_EQ(0, tenant_end(&b));
}

/* Over its limit a group evicts itself; nobody else notices. */
TEST_F(dmem, own_pages_first)
{
	long long evicted = npu_stat(0, "evicted"), direct = npu_stat(0, "evict_direct");
	struct tenant a, b;

	dmem_set("gmem-a", "dmem.max", 4 * MiB);
	tenant_start(&a, "gmem-a", 12 * MiB, 1);
	tenant_start(&b, "gmem-b", 4 * MiB, 2);
	/* The other one's pages are the oldest: order of use would take them. */
	tenant_do(&b, USE);
	ASSERT_EQ(4 * MiB / self->page, b.report->resident);
	tenant_do(&a, USE);
	EXPECT_GE(4 * MiB, dmem("gmem-a", "dmem.current"));
	EXPECT_GE(4 * MiB / self->page, a.report->resident);
	ASSERT_LT(0, a.report->resident);
	/* The device has room, so that nobody but the group works for it. */
	evicted = npu_stat(0, "evicted") - evicted;
	EXPECT_LE(8 * MiB, evicted);
	EXPECT_EQ(evicted, npu_stat(0, "evict_direct") - direct);
	tenant_do(&a, READ);
	EXPECT_TRUE(a.report->intact);
	EXPECT_GE(4 * MiB, dmem("gmem-a", "dmem.current"));
	EXPECT_EQ(4 * MiB, dmem("gmem-b", "dmem.current"));
	tenant_do(&b, LOOK);
	EXPECT_EQ(4 * MiB / self->page, b.report->resident);
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
	EXPECT_EQ(0, tenant_end(&b));
}

/* The limit of a group holds for all below it. */
TEST_F(dmem, limit_of_the_parent)
{
	struct tenant a, b;

	ASSERT_EQ(0, file_write(ROOT "/gmem-a/cgroup.subtree_control", "+dmem"));
	group_make("gmem-a/x");
	group_make("gmem-a/y");
	dmem_set("gmem-a", "dmem.max", 8 * MiB);
	tenant_start(&a, "gmem-a/x", 6 * MiB, 1);
	tenant_start(&b, "gmem-a/y", 6 * MiB, 2);
	tenant_do(&a, USE);
	ASSERT_EQ(6 * MiB, dmem("gmem-a/x", "dmem.current"));
	tenant_do(&b, USE);
	/* Whose pages make room is not said: those of either child. */
	EXPECT_EQ(8 * MiB, dmem("gmem-a", "dmem.current"));
	EXPECT_EQ(8 * MiB, dmem("gmem-a/x", "dmem.current") + dmem("gmem-a/y", "dmem.current"));
	EXPECT_LE(2 * MiB, dmem("gmem-a/y", "dmem.current"));
	EXPECT_LE(BLOCK / self->page, b.report->resident);
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	tenant_do(&b, CHECK);
	EXPECT_TRUE(b.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
	EXPECT_EQ(0, tenant_end(&b));
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
	group_remove("gmem-a/x");
	group_remove("gmem-a/y");
}

/* No device memory at all: everything is used where it is. */
TEST_F(dmem, limit_zero)
{
	struct tenant a;

	dmem_set("gmem-a", "dmem.max", 0);
	tenant_start(&a, "gmem-a", 4 * MiB, 1);
	tenant_do(&a, USE);
	EXPECT_EQ(0, a.report->resident);
	EXPECT_EQ(0, dmem("gmem-a", "dmem.current"));
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
}

static void protect(struct __test_metadata *_metadata, const char *file)
{
	size_t page = page_size();
	struct tenant a, b;

	dmem_set("gmem-a", file, 8 * MiB);
	tenant_start(&a, "gmem-a", 8 * MiB, 1);
	tenant_start(&b, "gmem-b", 48 * MiB, 2);
	tenant_do(&a, USE);
	ASSERT_EQ(8 * MiB / page, a.report->resident);
	tenant_do(&b, USE);
	ASSERT_LT(0, b.report->resident);
	tenant_do(&b, READ);
	EXPECT_TRUE(b.report->intact);
	/* The oldest pages of the device, and still there. */
	tenant_do(&a, LOOK);
	EXPECT_EQ(8 * MiB / page, a.report->resident);
	EXPECT_EQ(8 * MiB, dmem("gmem-a", "dmem.current"));
	/* All the rest, but for what is kept free. */
	EXPECT_GE(24 * MiB, dmem("gmem-b", "dmem.current"));
	EXPECT_LE(18 * MiB, dmem("gmem-b", "dmem.current"));
	tenant_do(&b, CHECK);
	EXPECT_TRUE(b.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
	EXPECT_EQ(0, tenant_end(&b));
}

TEST_F(dmem, min_protects)
{
	protect(_metadata, "dmem.min");
}

TEST_F(dmem, low_protects)
{
	protect(_metadata, "dmem.low");
}

/* What is guaranteed to a group is no obstacle to the group itself. */
TEST_F(dmem, min_of_its_own)
{
	struct tenant a;

	dmem_set("gmem-a", "dmem.min", 32 * MiB);
	tenant_start(&a, "gmem-a", 40 * MiB, 1);
	tenant_do(&a, USE);
	EXPECT_EQ(32 * MiB, dmem("gmem-a", "dmem.current"));
	EXPECT_LT(8 * MiB / self->page, a.report->resident);
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
}

TEST_F(dmem, back_to_zero_after_kill)
{
	struct tenant a;

	tenant_start(&a, "gmem-a", 16 * MiB, 1);
	tenant_do(&a, USE);
	ASSERT_EQ(16 * MiB, dmem("gmem-a", "dmem.current"));
	kill(a.pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_result(a.pid, ENOUGH));
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
}

/* The device goes, the pages are the process's own. */
TEST_F(dmem, detach_keeps_the_charge)
{
	struct tenant a;

	tenant_start(&a, "gmem-a", 4 * MiB, 1);
	tenant_do(&a, USE);
	tenant_do(&a, DETACH);
	EXPECT_EQ(4 * MiB / self->page, a.report->resident);
	EXPECT_EQ(4 * MiB, dmem("gmem-a", "dmem.current"));
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
	EXPECT_EQ(0, tenant_end(&a));
}

/* The driver goes with memory in use; the region goes with it. */
TEST_F(dmem, unload)
{
	char text[1024];
	struct tenant a;

	tenant_start(&a, "gmem-a", 4 * MiB, 1);
	tenant_do(&a, USE);
	tenant_do(&a, DETACH);
	ASSERT_EQ(4 * MiB, dmem("gmem-a", "dmem.current"));
	ASSERT_EQ(0, npu_unload());
	ASSERT_LE(0, file_read(ROOT "/dmem.capacity", text, sizeof(text)));
	EXPECT_EQ(NULL, strstr(text, REGION));
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = 32 });
	EXPECT_EQ(0, dmem("gmem-a", "dmem.current"));
}

/* A group that is gone still pays for what its process left with. */
TEST_F(dmem, removed_group)
{
	struct tenant a;
	char pid[16];

	tenant_start(&a, "gmem-a", 4 * MiB, 1);
	tenant_do(&a, USE);
	snprintf(pid, sizeof(pid), "%d", a.pid);
	ASSERT_EQ(0, file_write(ROOT "/gmem-b/cgroup.procs", pid));
	group_remove("gmem-a");
	EXPECT_EQ(0, dmem("gmem-b", "dmem.current"));
	EXPECT_EQ(4 * MiB, dmem("", "dmem.current"));
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_TRUE(dmem_wait("", 0));
	tenant_do(&a, USE);
	EXPECT_EQ(4 * MiB, dmem("gmem-b", "dmem.current"));
	EXPECT_EQ(0, tenant_end(&a));
	group_make("gmem-a");
}

/* Returns an exit code. */
static int stream_past_a_pin(void)
{
	int fd, pass, i;
	char *buf;

	group_enter("gmem-a");
	fd = npu_open(0);
	buf = buf_alloc(4 * BLOCK);
	if (hmadvise(npu_info(fd).hnid, buf, BLOCK, MADV_PINNED))
		return 1;
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < 4; i++) {
			if (npu_run1(fd, cmd_fill(buf + i * BLOCK, i, BLOCK)))
				return 2;
			if (!on_device(buf, BLOCK))
				return 3;
		}
	}
	return buf_is(buf + BLOCK, BLOCK, 1) ? 0 : 4;
}

/* A group over its limit evicts what it did not pin. */
TEST_F(dmem, pinned_pages_stay)
{
	pid_t pid;

	dmem_set("gmem-a", "dmem.max", 4 * MiB);
	pid = fork();
	if (!pid)
		_exit(stream_past_a_pin());
	EXPECT_EQ(0, child_result(pid, ENOUGH));
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
}

GMEM_TEST_MAIN
