// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "dmem_util.h"

bool dmem_available(void)
{
	struct stat st;

	if (stat(ROOT "/cgroup.procs", &st) && mount("cgroup", ROOT, "cgroup2", 0, NULL))
		return false;
	return !stat(ROOT "/dmem.capacity", &st) &&
	       !file_write(ROOT "/cgroup.subtree_control", "+dmem");
}

static void path_of(char *path, size_t size, const char *group, const char *file)
{
	snprintf(path, size, ROOT "/%s/%s", group, file);
}

/* Only whole lines of the region count. */
long long dmem(const char *group, const char *file)
{
	char path[128], text[1024], *line;

	path_of(path, sizeof(path), group, file);
	if (file_read(path, text, sizeof(text)) < 0)
		die("cannot read %s\n", path);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (strncmp(line, REGION " ", strlen(REGION) + 1))
			continue;
		line += strlen(REGION) + 1;
		return strcmp(line, "max") ? atoll(line) : -1;
	}
	die("no %s in %s\n", REGION, path);
}

void dmem_set(const char *group, const char *file, unsigned long value)
{
	char path[128], text[64];

	path_of(path, sizeof(path), group, file);
	snprintf(text, sizeof(text), REGION " %lu", value);
	if (file_write(path, text))
		die("cannot write %s\n", path);
}

bool dmem_wait(const char *group, long long value)
{
	uint64_t end = now_ms() + ENOUGH;

	while (dmem(group, "dmem.current") != value) {
		if (now_ms() > end)
			return false;
		sleep_ms(10);
	}
	return true;
}

void group_make(const char *group)
{
	char path[128];

	path_of(path, sizeof(path), group, "");
	if (mkdir(path, 0755))
		die("cannot make %s\n", path);
}

void group_remove(const char *group)
{
	uint64_t end = now_ms() + ENOUGH;
	char path[128];

	path_of(path, sizeof(path), group, "");
	while (rmdir(path) && errno == EBUSY && now_ms() < end)
		sleep_ms(10);
}

void group_enter(const char *group)
{
	char path[128];

	path_of(path, sizeof(path), group, "cgroup.procs");
	if (file_write(path, "0"))
		die("cannot enter %s\n", group);
}

static void tenant_run(struct tenant *t, const char *group, size_t len, uint8_t byte)
{
	struct report *report = t->report;
	char *buf;
	int fd;

	group_enter(group);
	fd = npu_open(0);
	buf = buf_alloc(len);
	for (;;) {
		baton_take(&t->go);
		switch (report->step) {
		case LOOK:
			break;
		case USE:
			report->intact = !npu_run1(fd, cmd_fill(buf, byte, len));
			break;
		case READ:
			report->intact = !npu_run1(fd, cmd_read(buf, len));
			break;
		case COPY:
			memset(buf + len / 2, byte, len / 2);
			report->intact = !npu_run1(fd, cmd_copy(buf, buf + len / 2, len / 2));
			break;
		case CHECK:
			report->intact = buf_is(buf, len, byte);
			break;
		case DETACH:
			close(fd);
			break;
		case EXIT:
			exit(0);
		}
		report->resident = pages_on_device(buf, len);
		baton_pass(&t->done);
	}
}

void tenant_start(struct tenant *t, const char *group, size_t len, uint8_t byte)
{
	t->report = mmap(NULL, sizeof(*t->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->report == MAP_FAILED)
		die("no memory for a report\n");
	baton_make(&t->go);
	baton_make(&t->done);
	t->pid = fork();
	if (!t->pid)
		tenant_run(t, group, len, byte);
}

void tenant_tell(struct tenant *t, enum step step)
{
	t->report->step = step;
	baton_pass(&t->go);
}

void tenant_wait(struct tenant *t)
{
	baton_take(&t->done);
}

void tenant_do(struct tenant *t, enum step step)
{
	tenant_tell(t, step);
	tenant_wait(t);
}

int tenant_end(struct tenant *t)
{
	tenant_tell(t, EXIT);
	return child_result(t->pid, ENOUGH);
}
