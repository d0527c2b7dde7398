// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks that are evicted as soon as they come: more of them are in use at a
 * time than there is room for, below a limit or on a small device. They are used
 * where they are for a while, and every job makes progress.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "dmem_util.h"

/* Memory may move so often for each byte that a job uses. Without a mend: 1000 times. */
#define MOVES	24

FIXTURE(limit)
{
};

FIXTURE_SETUP(limit)
{
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 32 });
	if (!dmem_available())
		SKIP(return, "no dmem controller");
	group_remove("gmem-a");
	group_make("gmem-a");
}

FIXTURE_TEARDOWN(limit)
{
	EXPECT_TRUE(dmem_wait("gmem-a", 0));
	group_remove("gmem-a");
}

/* There is room for one operand of a copy: the other one is used where it is. */
TEST_F(limit, room_for_one_operand)
{
	long long moved = npu_stat(0, "to_dev"), bounced = npu_stat(0, "bounced");
	struct tenant a;

	dmem_set("gmem-a", "dmem.max", BLOCK);
	tenant_start(&a, "gmem-a", 2 * BLOCK, 1);
	tenant_do(&a, COPY);
	EXPECT_TRUE(a.report->intact);
	EXPECT_GE(BLOCK, dmem("gmem-a", "dmem.current"));
	EXPECT_GE(MOVES * BLOCK, npu_stat(0, "to_dev") - moved);
	EXPECT_LT(0, npu_stat(0, "bounced") - bounced);
	tenant_do(&a, CHECK);
	EXPECT_TRUE(a.report->intact);
	EXPECT_EQ(0, tenant_end(&a));
}

/* Two processes below one limit push each other's operands out as well. */
TEST_F(limit, two_jobs)
{
	long long moved = npu_stat(0, "to_dev");
	struct tenant t[2];
	int i;

	dmem_set("gmem-a", "dmem.max", 2 * BLOCK);
	for (i = 0; i < 2; i++)
		tenant_start(&t[i], "gmem-a", 2 * BLOCK, i + 1);
	for (i = 0; i < 2; i++)
		tenant_tell(&t[i], COPY);
	for (i = 0; i < 2; i++) {
		tenant_wait(&t[i]);
		EXPECT_TRUE(t[i].report->intact);
	}
	EXPECT_GE(2 * MOVES * BLOCK, npu_stat(0, "to_dev") - moved);
	for (i = 0; i < 2; i++) {
		tenant_do(&t[i], CHECK);
		EXPECT_TRUE(t[i].report->intact);
		EXPECT_EQ(0, tenant_end(&t[i]));
	}
}

/* What is used once comes to the device, however small the limit. */
TEST_F(limit, a_walk_comes)
{
	long long moved = npu_stat(0, "to_dev"), bounced = npu_stat(0, "bounced");
	struct tenant a;
	int i;

	dmem_set("gmem-a", "dmem.max", BLOCK);
	tenant_start(&a, "gmem-a", 16 * BLOCK, 1);
	tenant_do(&a, USE);
	EXPECT_TRUE(a.report->intact);
	for (i = 0; i < 2; i++) {
		tenant_do(&a, READ);
		EXPECT_TRUE(a.report->intact);
	}
	/* All of it was made there, and all but one block left before each of the others. */
	EXPECT_LE(31 * BLOCK, npu_stat(0, "to_dev") - moved);
	EXPECT_EQ(bounced, npu_stat(0, "bounced"));
	EXPECT_EQ(0, tenant_end(&a));
}

/* A device of two blocks, and four jobs that want two each. */
#define JOBS	4

static int copies(int nr)
{
	int fd = npu_open(0), round;
	char *buf = buf_alloc(2 * BLOCK);

	for (round = 0; round < 2; round++) {
		memset(buf + BLOCK, nr + round, BLOCK);
		if (npu_run1(fd, cmd_copy(buf, buf + BLOCK, BLOCK)))
			return 1;
		if (!buf_is(buf, BLOCK, nr + round))
			return 2;
	}
	return 0;
}

TEST(small_device)
{
	pid_t pids[JOBS];
	long long moved;
	int i;

	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 4 });
	moved = npu_stat(0, "to_dev");
	for (i = 0; i < JOBS; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(copies(16 * i));
	}
	for (i = 0; i < JOBS; i++)
		EXPECT_EQ(0, child_result(pids[i], 3 * ENOUGH));
	EXPECT_GE(JOBS * 2 * MOVES * BLOCK, npu_stat(0, "to_dev") - moved);
}

GMEM_TEST_MAIN
