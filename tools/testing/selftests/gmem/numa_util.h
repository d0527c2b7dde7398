/* SPDX-License-Identifier: GPL-2.0 */
/* The NUMA calls as the kernel has them, and what they say of a range. */
#ifndef NUMA_UTIL_H
#define NUMA_UTIL_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <linux/mempolicy.h>

#include "gmem_util.h"

#define MAX_NODES	1024
#define NODE_BITS	64	/* of the masks below */

static inline long ret_errno(long ret)
{
	return ret < 0 ? -errno : ret;
}

static inline long sys_mbind(void *p, size_t len, int mode, unsigned long mask,
			     unsigned int flags)
{
	return ret_errno(syscall(__NR_mbind, p, len, mode, &mask, NODE_BITS + 1,
				 flags));
}

static inline long sys_set_mempolicy(int mode, unsigned long mask)
{
	return ret_errno(syscall(__NR_set_mempolicy, mode, &mask, NODE_BITS + 1));
}

static inline long sys_get_mempolicy(int *mode, unsigned long *mask,
				     const void *addr, unsigned long flags)
{
	*mask = 0;
	return ret_errno(syscall(__NR_get_mempolicy, mode, mask, NODE_BITS + 1,
				 addr, flags));
}

static inline long sys_move_pages(pid_t pid, unsigned long nr, void **pages,
				  const int *nodes, int *status, int flags)
{
	return ret_errno(syscall(__NR_move_pages, pid, nr, pages, nodes, status,
				 flags));
}

static inline long sys_migrate_pages(pid_t pid, unsigned long from,
				     unsigned long to)
{
	return ret_errno(syscall(__NR_migrate_pages, pid, NODE_BITS + 1, &from,
				 &to));
}

/* Where one page is, as move_pages(2) says: a node or a negative errno. */
static inline int page_node(const void *p)
{
	void *page = (void *)p;
	int status = -EIO;
	long err = sys_move_pages(0, 1, &page, NULL, &status, 0);

	return err ? (int)err : status;
}

/* Moves a range to a node with one call; returns how many pages are there after. */
static inline long move_range(const void *p, size_t len, int node)
{
	static void *pages[4096];
	static int nodes[4096], status[4096];
	size_t i, nr = len / page_size(), there = 0;
	long err;

	if (nr > 4096)
		die("move_range: %zu pages", nr);
	for (i = 0; i < nr; i++) {
		pages[i] = (char *)p + i * page_size();
		nodes[i] = node;
		status[i] = -EIO;
	}
	err = sys_move_pages(0, nr, pages, nodes, status, MPOL_MF_MOVE);
	if (err < 0)
		return err;
	for (i = 0; i < nr; i++)
		there += status[i] == node;
	return there;
}

/* Pages of the mapping that starts at @p on @node, as numa_maps says; -1: no such line. */
static inline long numa_maps_pages(const void *p, int node)
{
	char line[1024], key[16], *at;
	FILE *f = fopen("/proc/self/numa_maps", "r");
	long pages = -1;

	if (!f)
		die("no /proc/self/numa_maps");
	snprintf(key, sizeof(key), " N%d=", node);
	while (pages < 0 && fgets(line, sizeof(line), f)) {
		if (strtoul(line, NULL, 16) != (unsigned long)p)
			continue;
		at = strstr(line, key);
		pages = at ? atol(at + strlen(key)) : 0;
	}
	fclose(f);
	return pages;
}

/* A number of kB of the mapping that starts at @p in smaps; -1: none. */
static inline long smaps_kb(const void *p, const char *key)
{
	char line[256];
	FILE *f = fopen("/proc/self/smaps", "r");
	bool inside = false;
	long kb = -1;

	if (!f)
		die("no /proc/self/smaps");
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start == (unsigned long)p;
		else if (inside && !strncmp(line, key, strlen(key)) &&
			 line[strlen(key)] == ':')
			kb = atol(line + strlen(key) + 1);
	}
	fclose(f);
	return kb;
}

/* "Node 1 MemFree:  123 kB" of a node's meminfo; -1: none. */
static inline long node_meminfo_kb(int node, const char *key)
{
	char path[64], line[256], found[64];
	FILE *f;
	long kb, value = -1;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo",
		 node);
	f = fopen(path, "r");
	while (f && value < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %*d %63[^:]: %ld kB", found, &kb) == 2 &&
		    !strcmp(found, key))
			value = kb;
	}
	if (f)
		fclose(f);
	return value;
}

/* Whether a list of nodes ("0,2-3") below /sys/devices/system/node has one. */
static inline bool node_listed(const char *file, int node)
{
	char path[96], text[256] = "", *at = text;

	snprintf(path, sizeof(path), "/sys/devices/system/node/%s", file);
	if (file_read(path, text, sizeof(text)) < 0)
		return false;
	while (*at >= '0' && *at <= '9') {
		long first = strtol(at, &at, 10), last = first;

		if (*at == '-')
			last = strtol(at + 1, &at, 10);
		if (node >= first && node <= last)
			return true;
		if (*at == ',')
			at++;
	}
	return false;
}

#endif /* NUMA_UTIL_H */
