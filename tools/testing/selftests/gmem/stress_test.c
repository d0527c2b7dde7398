// SPDX-License-Identifier: GPL-2.0
/*
 * gmem_stress for a moment: a seed repeats what each process does and what memory
 * contains then, and a wrong byte is noticed. More steps with LONG=1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define PROGRAM	"./gmem_stress"
#define OUTPUT	"/tmp/gmem_stress.out"
#define RUN_MS	120000

/* Runs it with so many steps of each process, or three times as many. */
static int run(unsigned int steps, const char *args)
{
	const char *more = getenv("LONG");
	char line[256];
	pid_t pid;

	if (more && !strcmp(more, "1"))
		steps *= 3;
	snprintf(line, sizeof(line), "exec " PROGRAM " -n 1 -k %u %s >" OUTPUT " 2>&1",
		 steps, args);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	return child_result(pid, RUN_MS * scaled(1, 4));
}

static void show(void)
{
	char line[256];
	FILE *f = fopen(OUTPUT, "re");

	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "# %s", line);
	if (f)
		fclose(f);
}

static bool said(const char *text)
{
	static char output[65536];

	return file_read(OUTPUT, output, sizeof(output)) > 0 && strstr(output, text);
}

/* The file of one process in each of two runs. */
static bool same_log(const char *a, const char *b, int process)
{
	static char text[2][1 << 18];
	char path[64];
	int len[2];

	snprintf(path, sizeof(path), "/tmp/%s.%d", a, process);
	len[0] = file_read(path, text[0], sizeof(text[0]));
	snprintf(path, sizeof(path), "/tmp/%s.%d", b, process);
	len[1] = file_read(path, text[1], sizeof(text[1]));
	return len[0] > 150 && len[0] == len[1] && !strcmp(text[0], text[1]);
}

#define ASSERT_RUN(steps, args) do {					\
	int result = run(steps, args);					\
									\
	if (result)							\
		show();							\
	ASSERT_EQ(0, result);						\
} while (0)

FIXTURE(stress)
{
};

FIXTURE_SETUP(stress)
{
	if (access(PROGRAM, X_OK))
		SKIP(return, "no " PROGRAM);
	if (access("/dev/ram3", R_OK | W_OK))
		SKIP(return, "no RAM disks");
}

FIXTURE_TEARDOWN(stress)
{
}

TEST_F_TIMEOUT(stress, a_seed_repeats, 600)
{
	int i;

	ASSERT_RUN(5, "-s 20 -p 3 -l /tmp/first");
	ASSERT_RUN(5, "-s 20 -p 3 -l /tmp/second");
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(same_log("first", "second", i));
	ASSERT_RUN(5, "-s 21 -p 3 -l /tmp/second");
	EXPECT_FALSE(same_log("first", "second", 0));
}

/* One process after the other does the same with the same result. */
TEST_F_TIMEOUT(stress, serial, 600)
{
	int i;

	ASSERT_RUN(6, "-s 22 -p 2 -S -l /tmp/first");
	ASSERT_RUN(6, "-s 22 -p 2 -S -l /tmp/second");
	for (i = 0; i < 2; i++)
		EXPECT_TRUE(same_log("first", "second", i));
}

TEST_F_TIMEOUT(stress, a_wrong_byte_is_found, 600)
{
	ASSERT_EQ(1, run(4, "-s 23 -p 2 -x 3"));
	EXPECT_TRUE(said("seed 23: process 0, step 3"));
	EXPECT_TRUE(said("its last operations:"));
	EXPECT_TRUE(said(" bytes are wrong"));
	EXPECT_TRUE(said("belongs there"));
	EXPECT_TRUE(said("not ok 1 stress seed 23"));
}

/* KSM puts a page there without a reverse mapping for a moment, while a device wants it. */
TEST_F_TIMEOUT(stress, merged_while_a_device_wants_it, 600)
{
	ASSERT_RUN(24, "-s 1 -A -o cpu_write,npu_fill,merge");
}

GMEM_TEST_MAIN
