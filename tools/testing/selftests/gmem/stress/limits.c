// SPDX-License-Identifier: GPL-2.0
/* What limits memory: cgroups, swap, KSM, khugepaged, and devices that go. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include "stress.h"

#define ROOT		"/sys/fs/cgroup"
#define KSM		"/sys/kernel/mm/ksm/"
#define KHUGEPAGED	"/sys/kernel/mm/transparent_hugepage/khugepaged/"
#define ZRAM		"/dev/zram0"
#define TRACING		"/sys/kernel/tracing/"
#define ZRAM_SIZE	(128 * MiB)
#define NPU_MIB		8
#define EVENTS		300	/* that a failure tells */

/* What is set for the run, and what it was before. */
static struct setting {
	const char *path, *value;
	char before[64];
} settings[] = {
	{ KSM "sleep_millisecs", "5", "" },
	{ KSM "pages_to_scan", "500", "" },
	{ KSM "run", "1", "" },
	{ KHUGEPAGED "scan_sleep_millisecs", "5", "" },
	{ KHUGEPAGED "alloc_sleep_millisecs", "5", "" },
	{ KHUGEPAGED "pages_to_scan", "2048", "" },
	{ TRACING "events/gmem/enable", "1", "" },
};

static const struct npu_config npus = { .count = NPUS, .mem_mib = NPU_MIB };
static bool swapping;

/* The header that mkswap writes: version, last page, no bad pages, a magic. */
static int swap_make(void)
{
	uint32_t header[3] = { 1, ZRAM_SIZE / page_size() - 1, 0 };
	char size[32];
	int fd, err = 0;

	file_write("/sys/block/zram0/reset", "1");
	snprintf(size, sizeof(size), "%lu", ZRAM_SIZE);
	err = file_write("/sys/block/zram0/disksize", size);
	if (err)
		return err;
	fd = open(ZRAM, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pwrite(fd, header, sizeof(header), 1024) < 0 ||
	    pwrite(fd, "SWAPSPACE2", 10, page_size() - 10) < 0 || fsync(fd))
		err = -errno;
	close(fd);
	return err ?: swapon(ZRAM, 0) ? -errno : 0;
}

static void group_path(char *path, unsigned int index, const char *file)
{
	snprintf(path, 128, GROUP "/%u%s%s", index, *file ? "/" : "", file);
}

void host_set_up(void)
{
	char path[128];
	unsigned int i;
	int err;

	npu_require(&npus);
	err = swap_make();
	swapping = !err;
	if (err)
		printf("# no swap: %s\n", strerror(-err));
	for (i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		struct setting *s = &settings[i];

		if (file_read(s->path, s->before, sizeof(s->before)) < 0 ||
		    file_write(s->path, s->value))
			printf("# no %s\n", s->path);
	}
	file_write(ROOT "/cgroup.subtree_control", "+memory +cpuset +dmem");
	mkdir(GROUP, 0755);
	err = file_write(GROUP "/cgroup.subtree_control", "+memory +cpuset +dmem");
	if (err)
		printf("# no cgroups: %s\n", strerror(-err));
	for (i = 0; i < all->workers; i++) {
		group_path(path, i, "");
		mkdir(path, 0755);
	}
}

/* What GMEM did until it failed. */
void trace_stop(void)
{
	file_write(TRACING "tracing_on", "0");
}

void trace_show(void)
{
	static char last[EVENTS][256];
	FILE *f = fopen(TRACING "trace", "re");
	unsigned int nr = 0, i;

	while (f && fgets(last[nr % EVENTS], sizeof(*last), f))
		nr++;
	if (f)
		fclose(f);
	fprintf(stderr, "# the last events of GMEM:\n");
	for (i = nr < EVENTS ? 0 : nr - EVENTS; i < nr; i++)
		fprintf(stderr, "# %s", last[i % EVENTS]);
	file_write(TRACING "trace", "");
	file_write(TRACING "tracing_on", "1");
}

static void group_remove(const char *path)
{
	uint64_t end = now_ms() + 10000;

	while (rmdir(path) && errno == EBUSY && now_ms() < end)
		sleep_ms(10);
}

void host_restore(void)
{
	char path[128];
	int i;

	for (i = 0; i < all->workers; i++) {
		group_path(path, i, "");
		group_remove(path);
	}
	group_remove(GROUP);
	for (i = sizeof(settings) / sizeof(*settings) - 1; i >= 0; i--)
		file_write(settings[i].path, settings[i].before);
	if (swapping && swapoff(ZRAM))
		die("swapoff: %s", strerror(errno));
	file_write("/sys/block/zram0/reset", "1");
}

void group_enter(unsigned int index)
{
	char path[128];

	group_path(path, index, "cgroup.procs");
	file_write(path, "0");
}

static int group_set(const char *file, const char *text)
{
	char path[128];

	group_path(path, me.index, file);
	return file_write(path, text);
}

/* As if the driver was unbound, and bound again: once a file is closed it goes. */
void npus_reload(void)
{
	uint64_t end = now_ms() + 60000;
	int err;

	while ((err = npu_unload()) == -EAGAIN && now_ms() < end)
		sleep_ms(20);
	if (err)
		wrong(NULL, "cannot unload npu_stub: %s", strerror(-err));
	err = npu_load(&npus);
	if (err)
		wrong(NULL, "cannot load npu_stub: %s", strerror(-err));
	all->gone = 0;
}

/* With its data on it, while others use it. In few rounds, and once in these. */
static int unplug(struct range *r)
{
	char path[96];
	int npu = coin();

	note(npu);
	if (mix(all->seed ^ all->round * 77) % 4)
		return 0;
	if (atomic_fetch_or(&all->gone, 1 << npu) & 1 << npu)
		return 0;
	snprintf(path, sizeof(path),
		 "/sys/kernel/debug/npu_stub/npu%d/unplug", npu);
	return file_write(path, "1");
}

static int reclaim(struct range *r)
{
	char text[32];
	int kib = (rnd() % 8 + 1) * 512;

	note(kib);
	snprintf(text, sizeof(text), "%dK", kib);
	return group_set("memory.reclaim", text);
}

/* Over this limit the kernel swaps before it gives more. */
static int memory_high(struct range *r)
{
	char text[32];
	int mib = rnd() % 16 + 8;

	note(mib);
	snprintf(text, sizeof(text), "%dM", mib);
	if (group_set("memory.high", text))
		return -errno;
	pattern(r);
	write_shadow(r);
	return group_set("memory.high", "max");
}

static int device_limit(struct range *r)
{
	static const char *const limits[] = { "0", "2097152", "4194304", "max", "max" };
	const char *limit = limits[rnd() % 5];
	int npu = coin();
	char text[64];

	note(npu);
	note(limit[0]);
	snprintf(text, sizeof(text), "gmem/npu%d %s", npu, limit);
	return group_set("dmem.max", text);
}

static int cpuset(struct range *r)
{
	char text[64] = "0";
	int which = rnd() % 4, i;

	note(which);
	for (i = 0; i < NPUS; i++)
		if (which & 1 << i)
			sprintf(text + strlen(text), ",%d", me.hnid[i]);
	return group_set("cpuset.mems", text);
}

const struct op limit_ops[] = {
	{ "unplug", unplug, 1, ANYWHERE, false },
	{ "reclaim", reclaim, 2, ANYWHERE, false },
	{ "memory_high", memory_high, 1, PRIVATE, false },
	{ "device_limit", device_limit, 2, ANYWHERE, false },
	{ "cpuset", cpuset, 2, ANYWHERE, false },
	{ }
};
