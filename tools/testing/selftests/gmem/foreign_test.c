// SPDX-License-Identifier: GPL-2.0
/* Memory on a device whose driver has nothing to do with GMEM: test_hmm. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

/* As in lib/test_hmm_uapi.h. */
struct hmm_dmirror_cmd {
	uint64_t addr;
	uint64_t ptr;
	uint64_t npages;
	uint64_t cpages;
	uint64_t faults;
};
#define HMM_DMIRROR_MIGRATE_TO_DEV	_IOWR('H', 0x02, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_SNAPSHOT		_IOWR('H', 0x04, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL	0x20

#define PAGES	(BLOCK / 4096 + 5)

FIXTURE(foreign)
{
	int fd, npu;
	size_t len;
	char *buf;
};

FIXTURE_SETUP(foreign)
{
	self->fd = open("/dev/hmm_dmirror0", O_RDWR);
	if (self->fd < 0)
		SKIP(return, "no test_hmm");
	self->npu = npu_open(0);
	self->len = PAGES * page_size();
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
}

FIXTURE_TEARDOWN(foreign)
{
	munmap(self->buf, self->len);
	close(self->npu);
	close(self->fd);
}

static int dmirror(int fd, unsigned long request, void *buf, size_t pages, void *ptr)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)buf,
		.ptr = (uintptr_t)ptr,
		.npages = pages,
	};

	return ioctl(fd, request, &cmd) ? -errno : 0;
}

static size_t pages_there(FIXTURE_DATA(foreign) *self)
{
	unsigned char perms[PAGES] = {};
	size_t nr = 0, i;

	if (dmirror(self->fd, HMM_DMIRROR_SNAPSHOT, self->buf, PAGES, perms))
		return SIZE_MAX;
	for (i = 0; i < PAGES; i++)
		nr += (perms[i] & 0xf0) == HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL;
	return nr;
}

/* Home is home, whoever has the pages. */
TEST_F(foreign, prefetch_home)
{
	void *scratch = buf_alloc(self->len);

	ASSERT_EQ(0, dmirror(self->fd, HMM_DMIRROR_MIGRATE_TO_DEV, self->buf, PAGES, scratch));
	ASSERT_EQ(PAGES, pages_there(self));
	/* Some at home already, some on an NPU. */
	self->buf[BLOCK]++;
	self->buf[BLOCK]--;
	ASSERT_EQ(0, to_device(self->npu, self->buf + BLOCK + page_size(), page_size()));
	ASSERT_LT(2, pages_there(self));
	EXPECT_EQ(0, to_home(self->buf, self->len));
	EXPECT_EQ(0, pages_there(self));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	munmap(scratch, self->len);
}

GMEM_TEST_MAIN
