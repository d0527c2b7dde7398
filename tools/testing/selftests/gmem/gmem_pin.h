/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of pins share: two NPUs on which nothing is pinned, before and
 * after each test. For inclusion after kselftest_harness.h.
 */
#ifndef GMEM_PIN_H
#define GMEM_PIN_H

#include <stdio.h>
#include <unistd.h>

#include "gmem_attr.h"
#include "gmem_util.h"

/* Bytes that are pinned on an NPU, by whomever. */
static inline long long pinned(int index)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/gmem/npu%d-%d/stats",
		 index, index + 1);
	return file_find(path, "pinned");
}

static inline long long vm_pin(void)
{
	return file_find("/proc/self/status", "VmPin") * 1024;
}

FIXTURE(pin)
{
	int fd[2];
	int node[2];
	size_t page, mem;
};

FIXTURE_SETUP(pin)
{
	int i;

	self->page = page_size();
	for (i = 0; i < 2; i++) {
		self->fd[i] = npu_open(i);
		self->node[i] = npu_info(self->fd[i]).hnid;
		ASSERT_EQ(0, pinned(i));
	}
	self->mem = npu_info(self->fd[0]).mem_total;
	ASSERT_EQ(0, vm_pin());
}

FIXTURE_TEARDOWN(pin)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(self->fd[i]);
		EXPECT_EQ(0, pinned(i));
	}
	EXPECT_EQ(0, vm_pin());
}

static inline long pin(FIXTURE_DATA(pin) *self, void *buf, size_t len)
{
	return hmadvise(self->node[0], buf, len, MADV_PINNED);
}

#endif /* GMEM_PIN_H */
