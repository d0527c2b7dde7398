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

/**
 * gmem_is_hnode() - whether a node is the memory of a device
 * @nid: node
 *
 * Context: any.
 *
 * Return: true for a heterogeneous node.
 */
static inline bool gmem_is_hnode(int nid)
{
	return node_isset(nid, gmem_hnodes);
}

/**
 * gmem_reserve_nodes() - reserve node ids for device memory
 *
 * Adds as many ids as gmem.nodes= says behind those of the firmware's nodes.
 *
 * Context: boot, before the ids are counted; may be called more than once.
 */
void gmem_reserve_nodes(void);

/**
 * gmem_node_meminfo() - how much memory a heterogeneous node has
 * @nid: any node
 * @total: gets the pages of the node; unchanged for another node
 * @free: gets the free pages of the node; unchanged for another node
 *
 * Context: any that may take a mutex.
 */
void gmem_node_meminfo(int nid, unsigned long *total, unsigned long *free);

/**
 * gmem_split_policy() - take the heterogeneous nodes out of a new policy
 * @pol: policy whose mode and flags are set; pol->hnodes gets what is taken out
 * @nodes: nodes that userspace asked for
 * @host: nodes of the host that the task may use
 *
 * A policy that names none of @host becomes local, which is what the page
 * allocator can make of it.  Heterogeneous nodes are never rebound, as one device
 * does not stand for another: those count that the cpuset allows at the time.
 *
 * Context: process context, of the task that the policy is for.
 *
 * Return: 0, or -EINVAL for a mask that is relative to a cpuset's host nodes.
 */
int gmem_split_policy(struct mempolicy *pol, const nodemask_t *nodes,
		      const nodemask_t *host);

/**
 * gmem_hnode_page() - the device page that an entry names
 * @entry: page-table entry that is not present
 *
 * Context: the page-table lock is held.
 *
 * Return: the page if it is on a heterogeneous node, else NULL.
 */
struct page *gmem_hnode_page(softleaf_t entry);

/**
 * gmem_page_node() - the node of a page in device memory
 * @vma: VMA
 * @addr: address inside @vma, in bytes
 *
 * Context: mmap_lock is held.
 *
 * Return: the node, or -ENOENT when there is no page in device memory.
 */
int gmem_page_node(struct vm_area_struct *vma, unsigned long addr);

/**
 * gmem_move_status() - what became of a page that was to move
 * @vma: VMA
 * @addr: address inside @vma, in bytes
 * @nid: node that it was to move to
 *
 * Context: mmap_lock is held.
 *
 * Return: 0 when it is on @nid, -EBUSY when it is elsewhere, -ENOENT when there
 * is none.
 */
int gmem_move_status(struct vm_area_struct *vma, unsigned long addr, int nid);

/**
 * gmem_move_pages() - the part of move_pages(2) that concerns devices
 * @mm: process whose pages move
 * @allowed: nodes that the caller may move to
 * @nr_pages: how many elements @pages and @nodes have
 * @pages: addresses, of the caller
 * @nodes: where to, of the caller
 *
 * Done before the rest: pages move to heterogeneous nodes, and home where they are
 * to move to a node of the host.  What did not move is seen by
 * gmem_move_status(); a bad argument ends it, and is found again by the rest.
 *
 * Context: process context without mmap_lock; may sleep, takes the lock of @mm.
 */
void gmem_move_pages(struct mm_struct *mm, const nodemask_t *allowed,
		     unsigned long nr_pages, const void __user *__user *pages,
		     const int __user *nodes);

/**
 * gmem_migrate_to_node() - the part of migrate_pages(2) that concerns devices
 * @mm: process whose pages move
 * @source: node whose peer-shared pages move
 * @dest: node that they move to; one of both is heterogeneous
 *
 * Context: process context without mmap_lock; may sleep, takes the lock of @mm.
 *
 * Return: how many pages would not move, or -EINTR.
 */
long gmem_migrate_to_node(struct mm_struct *mm, int source, int dest);

/**
 * gmem_addr_node() - the node of the page at an address of an mm
 * @mm: process
 * @addr: address, in bytes
 *
 * Context: process context without mmap_lock; may sleep, takes the lock of @mm.
 *
 * Return: the node, or -ENOENT when the page is not in device memory.
 */
int gmem_addr_node(struct mm_struct *mm, unsigned long addr);

/**
 * gmem_mbind() - the part of mbind(2) that concerns devices
 * @mm: process
 * @start: first address, in bytes
 * @end: one past the last address, in bytes
 * @pol: policy
 * @nodes: nodes that userspace asked for
 * @flags: MPOL_MF_*
 *
 * Done before the rest.  Where pages may be moved, peer-shared ones on other nodes
 * than the policy's go to the device that it names; when it names none, they
 * come home from devices.
 *
 * Context: process context without mmap_lock; may sleep, takes the lock of @mm.
 *
 * Return: how many pages are still misplaced; -EIO when that is to fail at once,
 * -EINVAL for nodes that are relative to the cpuset's, or -EINTR.
 */
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
