/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel says of the attributes of this process's memory. */
#ifndef GMEM_ATTR_H
#define GMEM_ATTR_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#define ATTR_FILE "/sys/kernel/debug/gmem/attributes"

struct attr {
	int preferred;			/* a node, or -1 */
	int pinned;			/* a node, or -1 */
	uint64_t accessed_by;		/* nodes, one bit each */
	uint64_t read_mostly;
};

extern const struct attr attr_none;

/* The attributes of pages of this process. */
void attr_read(const void *buf, size_t pages, struct attr *attr);
/* How many ranges this process has. */
size_t attr_lines(void);
/* How many a process has, by the text of ATTR_FILE. */
size_t attr_count(const char *text, pid_t pid);

uint64_t now_us(void);

#endif /* GMEM_ATTR_H */
