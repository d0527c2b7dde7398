// SPDX-License-Identifier: GPL-2.0
/* With gmem=off no node is reserved, and the NUMA calls are as ever. */
#include "kselftest_harness.h"
#include "numa_plain.h"

TEST(nothing_is_reserved)
{
	EXPECT_FALSE(node_listed("possible", 1));
	EXPECT_FALSE(node_listed("has_hetero_memory", HOME));
}

TEST(plain_calls)
{
	EXPECT_EQ(0, numa_plain_calls());
}

TEST_HARNESS_MAIN
