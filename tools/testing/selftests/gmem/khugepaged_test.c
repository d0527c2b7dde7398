// SPDX-License-Identifier: GPL-2.0
/* khugepaged and MADV_COLLAPSE leave pages on a device. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define DIR	"/sys/kernel/mm/transparent_hugepage/"

static const struct {
	const char *path, *value;
} settings[] = {
	{ DIR "enabled", "madvise" },
	{ DIR "khugepaged/scan_sleep_millisecs", "0" },
	{ DIR "khugepaged/alloc_sleep_millisecs", "0" },
	{ DIR "khugepaged/pages_to_scan", "4096" },
};

#define SETTINGS	ARRAY_SIZE(settings)

FIXTURE(collapse)
{
	int fd;
	size_t device;
	char *buf, old[SETTINGS][128];
};

FIXTURE_SETUP(collapse)
{
	size_t i;

	if (access(DIR "khugepaged/scan_sleep_millisecs", W_OK) ||
	    page_size() != 4 * KiB)
		SKIP(return, "no khugepaged");
	self->fd = npu_open(0);
	self->device = 16 * page_size();
	self->buf = buf_alloc(BLOCK);
	/* In small pages: nothing is huge yet. */
	ASSERT_EQ(0, madvise(self->buf, BLOCK, MADV_NOHUGEPAGE));
	buf_fill(self->buf, BLOCK, 1);
	for (i = 0; i < SETTINGS; i++) {
		char *word;

		ASSERT_LT(0, file_read(settings[i].path, self->old[i],
				       sizeof(self->old[i])));
		/* "always [madvise] never" */
		word = strchr(self->old[i], '[');
		if (word) {
			memmove(self->old[i], word + 1, strlen(word));
			*strchr(self->old[i], ']') = '\0';
		}
		ASSERT_EQ(0, file_write(settings[i].path, settings[i].value));
	}
}

FIXTURE_TEARDOWN(collapse)
{
	size_t i;

	for (i = 0; i < SETTINGS; i++)
		file_write(settings[i].path, self->old[i]);
	EXPECT_TRUE(buf_check(self->buf, BLOCK, 1));
	close(self->fd);
}

static long long scans(void)
{
	char text[32];

	if (file_read(DIR "khugepaged/full_scans", text, sizeof(text)) < 0)
		die("full_scans");
	return atoll(text);
}

/* Waits until khugepaged looked at everything once, and once more. */
static bool wait_for_scans(void)
{
	long long before = scans();
	uint64_t end = now_ms() + 20000;

	while (scans() < before + 2) {
		if (now_ms() > end)
			return false;
		sleep_ms(10);
	}
	return true;
}

TEST_F(collapse, khugepaged)
{
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->device));
	ASSERT_TRUE(on_device(self->buf, self->device));
	ASSERT_EQ(0, madvise(self->buf, BLOCK, MADV_HUGEPAGE));
	ASSERT_TRUE(wait_for_scans());
	EXPECT_TRUE(on_device(self->buf, self->device));
}

/* It does work where no page is on a device. */
TEST_F(collapse, khugepaged_on_host)
{
	long long before = vmstat("thp_collapse_alloc");

	ASSERT_EQ(0, madvise(self->buf, BLOCK, MADV_HUGEPAGE));
	ASSERT_TRUE(wait_for_scans());
	EXPECT_LT(before, vmstat("thp_collapse_alloc"));
}

TEST_F(collapse, madvise)
{
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->device));
	ASSERT_EQ(0, madvise(self->buf, BLOCK, MADV_HUGEPAGE));
	EXPECT_NE(0, madvise(self->buf, BLOCK, MADV_COLLAPSE));
	EXPECT_TRUE(on_device(self->buf, self->device));
}

GMEM_TEST_MAIN
