// SPDX-License-Identifier: GPL-2.0
/* The NPUs of npu_stub: the module, the nodes, jobs. */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "kselftest.h"
#include "gmem_util.h"

#define DEFAULT_COUNT	2
#define DEFAULT_JOBS	64
#define DEFAULT_CMDS	1024
#define JOB_LIMIT_MS	60000

uint64_t npu_default_mem(void)
{
	return scaled(32, 16) * MiB;
}

int npu_node(int index, char *path, size_t size)
{
	struct stat st;

	snprintf(path, size, "/dev/accel/npu%d", index);
	if (!stat(path, &st))
		return 0;
	snprintf(path, size, "/dev/npu%d", index);
	return stat(path, &st) ? -errno : 0;
}

int npu_try_open(int index)
{
	char path[64];
	int err, fd;

	err = npu_node(index, path, sizeof(path));
	if (err)
		return err;
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int npu_open(int index)
{
	int fd = npu_try_open(index);

	if (fd < 0)
		die("cannot open NPU %d: %s", index, strerror(-fd));
	return fd;
}

struct npu_info npu_info(int fd)
{
	struct npu_info info;

	memset(&info, 0xff, sizeof(info));
	if (ioctl(fd, NPU_IOC_INFO, &info))
		die("NPU_IOC_INFO: %s", strerror(errno));
	if (info.version != NPU_STUB_ABI_VERSION)
		die("npu_stub speaks version %u", info.version);
	return info;
}

/* Freed device memory comes back through a worker. */
bool npu_wait_free(int fd, uint64_t free, unsigned int ms)
{
	uint64_t end = now_ms() + ms, seen;

	for (;;) {
		seen = npu_info(fd).mem_free;
		if (seen == free)
			return true;
		if (now_ms() > end)
			break;
		sleep_ms(5);
	}
	fprintf(stderr, "# the NPU has %llu bytes free, not %llu\n",
		(unsigned long long)seen, (unsigned long long)free);
	return false;
}

long long npu_stat(int index, const char *key)
{
	long long value = -1;
	char pattern[64];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/gmem/npu%d-*/stats",
		 index);
	if (!glob(pattern, 0, NULL, &found)) {
		value = file_find(found.gl_pathv[0], key);
		globfree(&found);
	}
	return value;
}

int npu_submit(int fd, const struct npu_cmd *cmds, unsigned int nr, int eventfd,
	       uint64_t *job)
{
	struct npu_submit submit = {
		.cmds = (uintptr_t)cmds,
		.nr_cmds = nr,
		.eventfd = eventfd,
	};

	if (ioctl(fd, NPU_IOC_SUBMIT, &submit))
		return -errno;
	*job = submit.job;
	return submit.job ? 0 : -EPROTO;
}

int npu_wait(int fd, uint64_t job, int timeout_ms, struct npu_wait *result)
{
	*result = (struct npu_wait){
		.job = job,
		.timeout_ns = timeout_ms < 0 ? -1 : timeout_ms * 1000000LL,
	};
	return ioctl(fd, NPU_IOC_WAIT, result) ? -errno : 0;
}

int npu_run_result(int fd, const struct npu_cmd *cmds, unsigned int nr,
		   struct npu_wait *result)
{
	uint64_t job = 0;
	int err;

	err = npu_submit(fd, cmds, nr, -1, &job);
	if (err)
		return err;
	err = npu_wait(fd, job, JOB_LIMIT_MS, result);
	return err ?: result->status;
}

int npu_run(int fd, const struct npu_cmd *cmds, unsigned int nr)
{
	struct npu_wait result;

	return npu_run_result(fd, cmds, nr, &result);
}

bool npu_busy(int fd)
{
	return npu_info(fd).jobs_running > 0;
}

int to_device(int fd, const void *buf, size_t len)
{
	return hmadvise(npu_info(fd).hnid, buf, len, MADV_PREFETCH);
}

int to_home(const void *buf, size_t len)
{
	return hmadvise(HOME, buf, len, MADV_PREFETCH);
}

static int open_module(void)
{
	const char *given = getenv("NPU_STUB_KO");
	struct utsname uts;
	char path[256];
	int fd;

	if (given)
		return open(given, O_RDONLY | O_CLOEXEC);
	fd = open("/lib/modules/npu_stub.ko", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 || uname(&uts))
		return fd;
	snprintf(path, sizeof(path),
		 "/lib/modules/%s/kernel/drivers/accel/npu_stub/npu_stub.ko",
		 uts.release);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int npu_load(const struct npu_config *config)
{
	char params[256];
	int fd, err = 0;

	snprintf(params, sizeof(params),
		 "count=%d mem_mib=%d faults=%d max_jobs=%d max_cmds=%d",
		 config->count ?: DEFAULT_COUNT,
		 config->mem_mib ?: (int)(npu_default_mem() / MiB),
		 !config->no_faults, config->max_jobs ?: DEFAULT_JOBS,
		 config->max_cmds ?: DEFAULT_CMDS);
	fd = open_module();
	if (fd < 0)
		return -errno;
	if (syscall(__NR_finit_module, fd, params, 0))
		err = -errno;
	close(fd);
	return err;
}

int npu_unload(void)
{
	return syscall(__NR_delete_module, "npu_stub", O_NONBLOCK) ? -errno : 0;
}

static bool npu_looks_like(const struct npu_config *config)
{
	int count = config->count ?: DEFAULT_COUNT, i;
	char path[64];

	for (i = 0; i < count; i++) {
		int fd = npu_try_open(i);
		struct npu_info info;
		int err;

		if (fd < 0)
			return false;
		err = ioctl(fd, NPU_IOC_INFO, &info);
		close(fd);
		if (err || info.mem_total !=
			   (config->mem_mib ? config->mem_mib * MiB :
					      npu_default_mem()) ||
		    !(info.flags & NPU_INFO_FAULTS) != config->no_faults ||
		    info.max_jobs != (config->max_jobs ?: DEFAULT_JOBS) ||
		    info.max_cmds != (config->max_cmds ?: DEFAULT_CMDS))
			return false;
	}
	return npu_node(count, path, sizeof(path)) == -ENOENT;
}

void npu_require(const struct npu_config *config)
{
	uint64_t end = now_ms() + 5000;
	int err;

	if (npu_looks_like(config))
		return;
	/* The files of a process that was killed may take a moment to close. */
	while ((err = npu_unload()) == -EAGAIN && now_ms() < end)
		sleep_ms(20);
	if (err && err != -ENOENT)
		die("cannot unload npu_stub: %s", strerror(-err));
	err = npu_load(config);
	if (err)
		die("cannot load npu_stub: %s", strerror(-err));
	if (!npu_looks_like(config))
		die("npu_stub did not come up as asked");
}

int gmem_main(int argc, char **argv, int (*run)(int, char **))
{
	static const struct npu_config defaults;
	void *page;
	long err;
	int ret;

	page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_PEER_SHARED, -1, 0);
	if (page == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	err = hmadvise(-1, page, page_size(), MADV_DONTNEED);
	munmap(page, page_size());
	if (err == -ENOSYS || err == -EOPNOTSUPP || geteuid()) {
		ksft_print_header();
		ksft_exit_skip("%s\n", err == -ENOSYS ? "no GMEM in this kernel" :
			       err ? "gmem=off" : "not root");
	}
	npu_require(&defaults);
	ret = run(argc, argv);
	npu_require(&defaults);
	return ret;
}
