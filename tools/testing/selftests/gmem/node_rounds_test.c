// SPDX-License-Identifier: GPL-2.0
/*
 * Nodes that come and go while the host allocates, and a cpuset names them: no
 * page is ever handed out there, and nothing is left behind.
 */
#include <signal.h>
#include <stdlib.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "numa_util.h"

#define ROOT	"/sys/fs/cgroup"
#define GROUP	ROOT "/node_rounds"
#define LEN	(BLOCK + 3 * page_size())

static const struct npu_config two = { .count = 2, .mem_mib = 16 };

/*
 * What the rounds may cost, in KiB.  One page a round would be 800 KiB; 150 come
 * and go with the kernel's own caches.  In the debug kernel, with fewer rounds and
 * larger caches, it is the memory map of a node that shows: 2 MiB a round.
 */
#define TOLERANCE	scaled(512, 2 * 1024)

/*
 * Free pages on the lists of CPUs, which MemFree does not count: thousands after
 * a hog.
 */
static long long percpu_free_kib(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	long long pages = 0;
	char line[128];
	long n;

	if (!f)
		die("no /proc/zoneinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	fclose(f);
	return pages * (long long)page_size() / KiB;
}

/* Memory in use for anything but cached files, KiB. */
static long long used_kib(void)
{
	static const char *const unused[] = { "MemFree", "Buffers", "Cached" };
	long long kib = file_find("/proc/meminfo", "MemTotal");
	glob_t caches;
	size_t i;

	file_write("/proc/sys/vm/drop_caches", "3");
	if (!glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches)) {
		for (i = 0; i < caches.gl_pathc; i++)
			file_write(caches.gl_pathv[i], "1");
		globfree(&caches);
	}
	sleep_ms(300);
	for (i = 0; i < ARRAY_SIZE(unused); i++)
		kib -= file_find("/proc/meminfo", unused[i]);
	return kib - percpu_free_kib();
}

/* Allocates and frees host memory of all kinds until it is killed. */
static void hog(void)
{
	size_t len = scaled(64, 16) * MiB;

	if (file_write(GROUP "/cgroup.procs", "0"))
		_exit(1);
	for (;;) {
		char *p = buf_alloc_flags(len, MAP_PRIVATE);
		int fd = memfd_create("hog", 0);

		buf_fill(p, len, 1);
		if (!buf_check(p, len, 1) || ftruncate(fd, MiB) ||
		    write(fd, p, MiB) != MiB)
			_exit(2);
		close(fd);
		munmap(p, len);
	}
}

/* The node spans a device zone alone, and none of its pages is the allocator's. */
static bool zones_are_empty(int nid)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[128], zone[32] = "";
	long long sum = 0, spanned = 0;
	int node = -1;
	long n;

	if (!f)
		die("no /proc/zoneinfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone %31s", &node, zone) == 2 ||
		    node != nid)
			continue;
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " present %ld", &n) == 1 ||
		    sscanf(line, " managed %ld", &n) == 1)
			sum += n;
		else if (sscanf(line, " spanned %ld", &n) == 1)
			*(strcmp(zone, "Device") ? &sum : &spanned) += n;
	}
	fclose(f);
	return spanned && !sum;
}

/*
 * The page allocator counts each page that it gives out for the kind of zone
 * (pgalloc_*) and for the node (numa_*), on each of its ways, and device memory
 * is in zones of the kind "Device" only.  So these numbers are exact: a page that
 * was given out for a moment, and one of a node that is gone, are in the first.
 * What page_owner would list is in them too; it knows only memory that was
 * brought online, and so no page of a device.
 */
static bool never_served(int nid)
{
	static const char *const keys[] = {
		"nr_free_pages", "numa_hit", "numa_miss", "numa_foreign",
		"numa_interleave", "numa_local", "numa_other", "nr_active_anon",
		"nr_inactive_anon", "nr_file_pages", "nr_slab_unreclaimable",
	};
	long long device = file_find("/proc/vmstat", "pgalloc_device");
	char path[64];
	size_t i;

	if (device || !zones_are_empty(nid)) {
		fprintf(stderr, "# node %d: %lld pages given out\n", nid, device);
		return false;
	}
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/vmstat", nid);
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		long long n = file_find(path, keys[i]);

		if (n) {
			fprintf(stderr, "# node %d: %s %lld\n", nid, keys[i], n);
			return false;
		}
	}
	return true;
}

static void one_round(struct __test_metadata *_metadata, char *buf, int i)
{
	struct npu_info info[2];
	char mems[32];
	int n, fd[2];

	ASSERT_EQ(0, npu_load(&two));
	for (n = 0; n < 2; n++) {
		fd[n] = npu_open(n);
		info[n] = npu_info(fd[n]);
		ASSERT_TRUE(node_listed("has_hetero_memory", info[n].hnid));
	}
	snprintf(mems, sizeof(mems), "%d,%d-%d", HOME, info[0].hnid, info[1].hnid);
	ASSERT_EQ(0, file_write(GROUP "/cpuset.mems", mems));
	ASSERT_EQ(0, npu_run1(fd[i & 1], cmd_fill(buf, i, LEN)));
	ASSERT_TRUE(on_device(buf, LEN));
	ASSERT_EQ(info[i & 1].hnid, page_node(buf));
	for (n = 0; n < 2; n++) {
		ASSERT_TRUE(never_served(info[n].hnid));
		ASSERT_EQ(0, close(fd[n]));
	}
	ASSERT_EQ(0, npu_unload());
	ASSERT_TRUE(buf_is(buf, LEN, i));
	for (n = 0; n < 2; n++)
		ASSERT_FALSE(node_listed("online", info[n].hnid));
	ASSERT_EQ(0, madvise(buf, LEN, MADV_DONTNEED));
}

TEST(rounds_rules)
{
	/* The counters that never_served() trusts do move where pages are. */
	EXPECT_LT(0, file_find("/sys/devices/system/node/node0/vmstat", "numa_hit"));
	EXPECT_LT(0, file_find("/sys/devices/system/node/node0/vmstat", "nr_free_pages"));
	EXPECT_LT(0, file_find("/proc/vmstat", "pgalloc_normal"));
	EXPECT_FALSE(zones_are_empty(HOME));
}

FIXTURE(rounds)
{
	char *buf;
};

FIXTURE_SETUP(rounds)
{
	file_write(ROOT "/cgroup.subtree_control", "+cpuset");
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	ASSERT_EQ(0, npu_unload());
	self->buf = buf_alloc(LEN);
}

FIXTURE_TEARDOWN(rounds)
{
	struct npu_config defaults = { 0 };
	int tries;

	for (tries = 0; rmdir(GROUP) && tries < 500; tries++)
		sleep_ms(10);
	EXPECT_NE(0, access(GROUP, F_OK));
	npu_require(&defaults);
}

/* So many rounds beside a hog; returns what is in use after both. */
static long long rounds(struct __test_metadata *_metadata, char *buf, int n)
{
	pid_t pid = fork();
	int i;

	if (!pid)
		hog();
	for (i = 0; i < n; i++)
		one_round(_metadata, buf, i);
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_result(pid, 5000));
	return used_kib();
}

TEST_F_TIMEOUT(rounds, register_and_unregister, 280)
{
	/* The first rounds fill caches and lists. */
	long long before = rounds(_metadata, self->buf, scaled(30, 5));
	long long after = rounds(_metadata, self->buf, scaled(200, 20));

	TH_LOG("%lld KiB in use, then %lld", before, after);
	EXPECT_GT(before + TOLERANCE, after);
}

GMEM_TEST_MAIN
