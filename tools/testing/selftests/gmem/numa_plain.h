/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls that name no heterogeneous node, each with what it returns: the same
 * with GMEM on and off.
 */
#ifndef NUMA_PLAIN_H
#define NUMA_PLAIN_H

#include <sys/mman.h>
#include "numa_util.h"

#define HOST		(1UL << HOME)
#define NO_NODES	0UL
#define NEVER		(1UL << 15)	/* an id that no machine here has */

#define EXPECT_RET(err, call)						\
	do {								\
		long ret = (call);					\
									\
		if (ret != (err)) {					\
			fprintf(stderr, "# %s: %ld, not %ld\n", #call,	\
				ret, (long)(err));			\
			wrong++;					\
		}							\
	} while (0)

/* Returns how many of the calls went otherwise than they should. */
static inline int numa_plain_calls(void)
{
	size_t len = 8 * page_size();
	char *buf = buf_alloc_flags(len, MAP_PRIVATE);
	char *hole = buf_alloc_flags(len, MAP_PRIVATE);
	void *page = buf;
	int wrong = 0, mode, node = HOME, status = -EIO;
	unsigned long mask;

	munmap(hole + page_size(), page_size());
	memset(buf, 1, len);

	/* mbind */
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_BIND, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_BIND, HOST, MPOL_MF_STRICT));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_BIND, HOST, MPOL_MF_MOVE));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_INTERLEAVE, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_WEIGHTED_INTERLEAVE, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_PREFERRED_MANY, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_PREFERRED, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_PREFERRED, NO_NODES, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_LOCAL, NO_NODES, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_BIND | MPOL_F_STATIC_NODES, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_BIND | MPOL_F_RELATIVE_NODES, HOST, 0));
	EXPECT_RET(0, sys_mbind(buf, len, MPOL_DEFAULT, NO_NODES, 0));
	EXPECT_RET(0, sys_mbind(buf, 0, MPOL_BIND, HOST, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_DEFAULT, HOST, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_LOCAL, HOST, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_BIND, NO_NODES, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_INTERLEAVE, NO_NODES, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_BIND, NEVER, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, 77, HOST, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_BIND, HOST, 1U << 30));
	EXPECT_RET(-EINVAL, sys_mbind(buf + 1, len, MPOL_BIND, HOST, 0));
	EXPECT_RET(-EINVAL, sys_mbind(buf, len, MPOL_BIND | MPOL_F_STATIC_NODES |
				      MPOL_F_RELATIVE_NODES, HOST, 0));
	EXPECT_RET(-EFAULT, sys_mbind(hole, len, MPOL_BIND, HOST, 0));
	EXPECT_RET(-EFAULT, ret_errno(syscall(__NR_mbind, buf, len, MPOL_BIND,
					      (void *)8, NODE_BITS + 1, 0)));

	/* set_mempolicy, get_mempolicy */
	EXPECT_RET(0, sys_set_mempolicy(MPOL_BIND, HOST));
	EXPECT_RET(0, sys_get_mempolicy(&mode, &mask, NULL, 0));
	wrong += mode != MPOL_BIND || mask != HOST;
	EXPECT_RET(0, sys_set_mempolicy(MPOL_INTERLEAVE, HOST | NEVER));
	EXPECT_RET(0, sys_get_mempolicy(&mode, &mask, NULL, 0));
	wrong += mode != MPOL_INTERLEAVE || mask != HOST;
	EXPECT_RET(0, sys_set_mempolicy(MPOL_DEFAULT, NO_NODES));
	EXPECT_RET(0, sys_get_mempolicy(&mode, &mask, NULL, 0));
	wrong += mode != MPOL_DEFAULT || mask;
	EXPECT_RET(-EINVAL, sys_set_mempolicy(MPOL_BIND, NO_NODES));
	EXPECT_RET(-EINVAL, sys_set_mempolicy(MPOL_BIND, NEVER));
	EXPECT_RET(-EINVAL, sys_set_mempolicy(MPOL_DEFAULT, HOST));
	EXPECT_RET(-EINVAL, sys_set_mempolicy(77, HOST));
	EXPECT_RET(-EINVAL, sys_get_mempolicy(&mode, &mask, buf, 0));
	EXPECT_RET(-EINVAL, sys_get_mempolicy(&mode, &mask, NULL, 64));
	EXPECT_RET(-EINVAL, sys_get_mempolicy(&mode, &mask, buf,
					      MPOL_F_MEMS_ALLOWED | MPOL_F_ADDR));
	EXPECT_RET(-EFAULT, sys_get_mempolicy(&mode, &mask, hole + page_size(),
					      MPOL_F_ADDR));
	EXPECT_RET(0, sys_get_mempolicy(&mode, &mask, buf, MPOL_F_NODE | MPOL_F_ADDR));
	wrong += mode != HOME;

	/* move_pages, migrate_pages */
	EXPECT_RET(0, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	EXPECT_RET(HOME, status);
	EXPECT_RET(HOME, page_node(buf));
	EXPECT_RET(-ENOENT, page_node(hole));
	EXPECT_RET(-EFAULT, page_node(hole + page_size()));
	EXPECT_RET(-EINVAL, sys_move_pages(0, 1, &page, &node, &status, 1));
	EXPECT_RET(-EFAULT, sys_move_pages(0, 1, (void **)8, &node, &status, MPOL_MF_MOVE));
	EXPECT_RET(-EFAULT, sys_move_pages(0, 1, &page, (int *)8, &status, MPOL_MF_MOVE));
	node = 63;
	EXPECT_RET(-ENODEV, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	node = -1;
	EXPECT_RET(-ENODEV, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	EXPECT_RET(-ESRCH, sys_move_pages(0x3ffffff, 1, &page, NULL, &status, 0));
	EXPECT_RET(0, sys_migrate_pages(0, HOST, HOST));
	/* Who may go beyond the cpuset (CAP_SYS_NICE) finds no node there. */
	EXPECT_RET(-EINVAL, sys_migrate_pages(0, HOST, NEVER));
	EXPECT_RET(-ESRCH, sys_migrate_pages(0x3ffffff, HOST, HOST));
	return wrong;
}

#endif /* NUMA_PLAIN_H */
