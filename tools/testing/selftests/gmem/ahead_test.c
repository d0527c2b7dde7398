// SPDX-License-Identifier: GPL-2.0
/* Walks through memory are served ahead; steps in all directions are not. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define STEP	(64 * KiB)

FIXTURE(ahead)
{
	int fd;
	size_t len;
	long long faults, ahead;
	char *buf;
};

FIXTURE_SETUP(ahead)
{
	self->fd = npu_open(0);
	self->len = scaled(16, 8) * MiB;
	self->buf = buf_alloc(self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_NOHUGEPAGE));
	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, pages_on_device(self->buf, self->len));
	self->faults = npu_stat(0, "demand_faults");
	self->ahead = npu_stat(0, "ahead");
	ASSERT_LE(0, self->ahead);
}

FIXTURE_TEARDOWN(ahead)
{
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	munmap(self->buf, self->len);
	close(self->fd);
}

static int read_step(FIXTURE_DATA(ahead) *self, size_t step)
{
	struct npu_cmd cmds[] = {
		cmd_read(self->buf + step * STEP, STEP),
		/* What a device does with it. */
		cmd_nop(scaled(1000, 20000)),
	};

	return npu_run(self->fd, cmds, 2);
}

TEST_F_TIMEOUT(ahead, sequential, 60)
{
	size_t steps = self->len / STEP, i;

	for (i = 0; i < steps; i++)
		ASSERT_EQ(0, read_step(self, i));
	ASSERT_TRUE(on_device(self->buf, self->len));
	/* Three steps make a walk, and windows grow up to 4 MiB. */
	EXPECT_GT(steps / 2, npu_stat(0, "demand_faults") - self->faults);
	EXPECT_LT(self->len / 2, npu_stat(0, "ahead") - self->ahead);
}

TEST_F_TIMEOUT(ahead, strided, 60)
{
	size_t steps = self->len / STEP / 4, i;

	for (i = 0; i < steps; i++)
		ASSERT_EQ(0, read_step(self, i * 4));
	ASSERT_LE(steps * STEP, pages_on_device(self->buf, self->len) * page_size());
	EXPECT_GT(steps * 3 / 4, npu_stat(0, "demand_faults") - self->faults);
	EXPECT_LT(0, npu_stat(0, "ahead") - self->ahead);
	/* Only the steps were brought, not what lies between them. */
	EXPECT_EQ(0, pages_on_device(self->buf + STEP, STEP));
}

TEST_F_TIMEOUT(ahead, random, 60)
{
	size_t steps = self->len / STEP, i, faults = 0;
	unsigned int at = 1;

	/* Every step once, far from the one before. */
	for (i = 0; i < steps / 4; i++) {
		at = at * 1103515245u + 12345u;
		faults += !pages_on_device(self->buf + at / 65536 % steps * STEP,
					   STEP);
		ASSERT_EQ(0, read_step(self, at / 65536 % steps));
	}
	ASSERT_LT(0, faults);
	EXPECT_EQ(faults, npu_stat(0, "demand_faults") - self->faults);
	EXPECT_EQ(0, npu_stat(0, "ahead") - self->ahead);
}

/* Memory that nobody has touched is not made in advance. */
TEST_F_TIMEOUT(ahead, no_holes, 60)
{
	char *fresh = buf_alloc(self->len);
	size_t i;

	ASSERT_EQ(0, madvise(fresh, self->len, MADV_NOHUGEPAGE));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(fresh + i * STEP, 3, STEP)));
	ASSERT_TRUE(on_device(fresh, 8 * STEP));
	sleep_ms(50);
	EXPECT_EQ(0, pages_on_device(fresh + 8 * STEP, self->len - 8 * STEP));
	EXPECT_EQ(0, npu_stat(0, "ahead") - self->ahead);
	munmap(fresh, self->len);
}

GMEM_TEST_MAIN
