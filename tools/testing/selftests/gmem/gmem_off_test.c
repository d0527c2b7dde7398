// SPDX-License-Identifier: GPL-2.0
/* Run in a boot with gmem=off: the kernel behaves as if GMEM were not there. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

TEST(hmadvise_is_not_supported)
{
	char *buf = buf_alloc(page_size());

	EXPECT_EQ(-EOPNOTSUPP, hmadvise(-1, buf, page_size(), MADV_DONTNEED));
	EXPECT_EQ(-EOPNOTSUPP, hmadvise(0, buf, page_size(), MADV_PREFETCH));
	EXPECT_EQ(-EOPNOTSUPP, hmadvise(0, buf + 1, 0, -1));
}

TEST(the_flag_is_ignored)
{
	char *buf = buf_alloc(BLOCK);

	EXPECT_FALSE(smaps_has_flag(buf, "ps"));
	memset(buf, 0x34, BLOCK);
	EXPECT_TRUE(buf_is(buf, BLOCK, 0x34));
	ASSERT_EQ(0, madvise(buf, BLOCK, MADV_DONTNEED));
	EXPECT_TRUE(buf_is(buf, BLOCK, 0));
}

TEST(no_device_appears)
{
	static const struct npu_config defaults;
	char path[64];

	EXPECT_EQ(-EOPNOTSUPP, npu_load(&defaults));
	EXPECT_EQ(-ENOENT, npu_node(0, path, sizeof(path)));
	npu_unload();
}

int main(int argc, char **argv)
{
	char cmdline[4096] = "";

	file_read("/proc/cmdline", cmdline, sizeof(cmdline));
	if (!strstr(cmdline, "gmem=off")) {
		ksft_print_header();
		ksft_exit_skip("needs a boot with gmem=off\n");
	}
	return test_harness_run(argc, argv);
}
