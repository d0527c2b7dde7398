/* SPDX-License-Identifier: GPL-2.0 */
/* Cgroups with limits of NPU 0's memory, and processes in them. */
#ifndef DMEM_UTIL_H
#define DMEM_UTIL_H

#include "gmem_util.h"

#define ROOT	"/sys/fs/cgroup"
#define REGION	"gmem/npu0"
#define ENOUGH	20000	/* ms */

/* Mount cgroup2 if need be; false without the dmem controller. */
bool dmem_available(void);
/* A value of the region; "max" is -1. */
long long dmem(const char *group, const char *file);
void dmem_set(const char *group, const char *file, unsigned long value);
bool dmem_wait(const char *group, long long value);	/* for dmem.current */
void group_make(const char *group);
void group_remove(const char *group);
void group_enter(const char *group);

/* What a tenant is told to do. */
enum step {
	LOOK,		/* only say where the pages are */
	USE,		/* write all of it from the NPU */
	READ,		/* read all of it from the NPU */
	COPY,		/* copy its second half to the first by the NPU */
	CHECK,		/* read all of it from the CPU */
	DETACH,
	EXIT,
};

/* A process in a group that takes a step for each turn of the baton. */
struct tenant {
	pid_t pid;
	struct baton go, done;
	struct report {
		enum step step;
		size_t resident;	/* pages on a device */
		bool intact;
	} *report;
};

void tenant_start(struct tenant *t, const char *group, size_t len, uint8_t byte);
void tenant_tell(struct tenant *t, enum step step);	/* without waiting */
void tenant_wait(struct tenant *t);
void tenant_do(struct tenant *t, enum step step);
/* Tell it to exit; returns its exit code. */
int tenant_end(struct tenant *t);

#endif
