/* SPDX-License-Identifier: GPL-2.0 */
/*
 * GMEM: device memory as heterogeneous NUMA nodes (hnodes).
 *
 * What the core asks GMEM.  The page allocator is not among those who ask: an
 * hnode is never in N_MEMORY, in a task's mems_allowed or in mempolicy.nodes.
 */
#ifndef _LINUX_GMEM_NUMA_H
#define _LINUX_GMEM_NUMA_H

#include <linux/errno.h>
#include <linux/mm_types.h>
#include <linux/nodemask.h>

struct mempolicy;
struct task_struct;

/* The nodes that are the memory of a device. */
#define gmem_hnodes	(node_states[N_HETEROGENEOUS])

#ifdef CONFIG_CPUSETS
nodemask_t cpuset_hnodes_allowed(struct task_struct *tsk);
#else
static inline nodemask_t cpuset_hnodes_allowed(struct task_struct *tsk)
{
	return gmem_hnodes;
}
#endif

#ifdef CONFIG_GMEM

static inline bool gmem_is_hnode(int nid)
{
	return node_isset(nid, gmem_hnodes);
}

void gmem_reserve_nodes(void);
void gmem_node_meminfo(int nid, unsigned long *total, unsigned long *free);
int gmem_split_policy(struct mempolicy *pol, const nodemask_t *nodes,
		      const nodemask_t *host);
struct page *gmem_hnode_page(softleaf_t entry);
int gmem_page_node(struct vm_area_struct *vma, unsigned long addr);
int gmem_move_status(struct vm_area_struct *vma, unsigned long addr, int nid);
void gmem_move_pages(struct mm_struct *mm, const nodemask_t *allowed,
		     unsigned long nr_pages, const void __user *__user *pages,
		     const int __user *nodes);
long gmem_migrate_to_node(struct mm_struct *mm, int source, int dest);
int gmem_addr_node(struct mm_struct *mm, unsigned long addr);
long gmem_mbind(struct mm_struct *mm, unsigned long start, unsigned long end,
		const struct mempolicy *pol, const nodemask_t *nodes,
		unsigned long flags);

#else

static inline bool gmem_is_hnode(int nid)
{
	return false;
}

static inline void gmem_reserve_nodes(void)
{
}

static inline void gmem_node_meminfo(int nid, unsigned long *total,
				     unsigned long *free)
{
}

static inline int gmem_split_policy(struct mempolicy *pol,
				    const nodemask_t *nodes,
				    const nodemask_t *host)
{
	return 0;
}

static inline struct page *gmem_hnode_page(softleaf_t entry)
{
	return NULL;
}

static inline int gmem_page_node(struct vm_area_struct *vma, unsigned long addr)
{
	return -ENOENT;
}

static inline int gmem_move_status(struct vm_area_struct *vma,
				   unsigned long addr, int nid)
{
	return -ENOENT;
}

static inline void gmem_move_pages(struct mm_struct *mm,
				   const nodemask_t *allowed,
				   unsigned long nr_pages,
				   const void __user *__user *pages,
				   const int __user *nodes)
{
}

static inline long gmem_migrate_to_node(struct mm_struct *mm, int source,
					int dest)
{
	return 0;
}

static inline int gmem_addr_node(struct mm_struct *mm, unsigned long addr)
{
	return -ENOENT;
}

static inline long gmem_mbind(struct mm_struct *mm, unsigned long start,
			      unsigned long end, const struct mempolicy *pol,
			      const nodemask_t *nodes, unsigned long flags)
{
	return 0;
}

#endif

#endif /* _LINUX_GMEM_NUMA_H */
