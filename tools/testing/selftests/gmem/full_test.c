// SPDX-License-Identifier: GPL-2.0
/* No memory left: a job may fail, nobody is killed, nothing is lost. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define GROUP	"/sys/fs/cgroup/gmem_full"

FIXTURE(full)
{
	long long kills;
};

FIXTURE_SETUP(full)
{
	self->kills = vmstat("oom_kill");
	ASSERT_LE(0, self->kills);
}

FIXTURE_TEARDOWN(full)
{
	EXPECT_EQ(self->kills, vmstat("oom_kill"));
}

/* In a cgroup: fills blocks by the device until that fails. */
static int fill_the_group(size_t limit)
{
	size_t len = 2 * limit, done = 0, i;
	char *buf;
	int fd, err = 0;

	if (file_write(GROUP "/cgroup.procs", "0"))
		return 10;
	fd = npu_open(0);
	buf = buf_alloc(len);
	while (!err && done < len) {
		err = npu_run1(fd, cmd_fill(buf + done, done / BLOCK + 1, BLOCK));
		done += err ? 0 : BLOCK;
	}
	if (err != -ENOMEM)
		return 11;
	if (done < limit / 2 || done > limit)
		return 12;
	if (!on_device(buf, done))
		return 13;
	/* Coming home needs no room in the group, and neither does going back. */
	for (i = 0; i < done; i += BLOCK)
		if (!buf_is(buf + i, BLOCK, i / BLOCK + 1))
			return 14;
	if (pages_on_device(buf, done))
		return 15;
	if (to_device(fd, buf, done) || !on_device(buf, done))
		return 16;
	if (to_home(buf, done) || pages_on_device(buf, done))
		return 17;
	for (i = 0; i < done; i += BLOCK)
		if (!buf_is(buf + i, BLOCK, i / BLOCK + 1))
			return 18;
	/* What was given back can be used anew. */
	munmap(buf, done);
	if (npu_run1(fd, cmd_fill(buf + done, 7, BLOCK)))
		return 19;
	return on_device(buf + done, BLOCK) ? 0 : 20;
}

TEST_F_TIMEOUT(full, cgroup_at_its_limit, 60)
{
	size_t limit = 12 * MiB;
	char text[32];
	pid_t child;

	ASSERT_EQ(0, file_write("/sys/fs/cgroup/cgroup.subtree_control",
				"+memory"));
	ASSERT_TRUE(mkdir(GROUP, 0755) == 0 || errno == EEXIST);
	snprintf(text, sizeof(text), "%lu", limit);
	ASSERT_EQ(0, file_write(GROUP "/memory.max", text));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(fill_the_group(limit));
	EXPECT_EQ(0, child_result(child, 50000));
	EXPECT_EQ(0, file_find(GROUP "/memory.events", "oom_kill"));
	while (rmdir(GROUP) && errno == EBUSY)
		sleep_ms(10);
}

GMEM_TEST_MAIN
