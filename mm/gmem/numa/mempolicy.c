// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory policies that name heterogeneous nodes.
 */
#include <linux/cpuset.h>
#include <linux/gmem_core.h>
#include <linux/gmem_numa.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

/*
 * The heterogeneous nodes that a policy with @nodes names: those of them that the
 * cpuset allows.  MPOL_PREFERRED means one node, the first of its mask, which may
 * be one of @host.  Returns false when there is none.
 */
static bool named_hnodes(unsigned short mode, const nodemask_t *nodes,
			 const nodemask_t *host, nodemask_t *hnodes)
{
	nodemask_t named = cpuset_hnodes_allowed(current);
	int first;

	nodes_clear(*hnodes);
	if (!nodes_and(named, named, *nodes))
		return false;
	if (mode != MPOL_PREFERRED) {
		*hnodes = named;
		return true;
	}
	first = first_node(named);
	nodes_and(named, *nodes, *host);
	if (first_node(named) < first)
		return false;
	node_set(first, *hnodes);
	return true;
}

/*
 * Take the heterogeneous nodes out of what userspace asks for.  @host are the
 * nodes of the host that the task may use.  A policy that names none of these
 * becomes local, which is what the page allocator can make of it.
 *
 * The heterogeneous nodes are never rebound, as one device does not stand for
 * another: those of them count that the cpuset allows at the time.
 *
 * Returns -EINVAL for a mask that is relative to a cpuset's host nodes.
 */
int gmem_split_policy(struct mempolicy *pol, const nodemask_t *nodes,
		      const nodemask_t *host)
{
	if (!nodes_intersects(*nodes, gmem_hnodes))
		return 0;
	if (pol->flags & MPOL_F_RELATIVE_NODES)
		return -EINVAL;
	if (!named_hnodes(pol->mode, nodes, host, &pol->hnodes))
		return 0;
	if (pol->mode == MPOL_PREFERRED || !nodes_intersects(*nodes, *host)) {
		pol->mode = MPOL_LOCAL;
		nodes_clear(pol->nodes);
		pol->w.user_nodemask = *nodes;
	}
	return 0;
}

/* The @index-th node of a mask that is not empty, counted round and round. */
static int nth_node(const nodemask_t *nodes, unsigned long index)
{
	int nid = first_node(*nodes);

	for (index %= nodes_weight(*nodes); index; index--)
		nid = next_node(nid, *nodes);
	return nid;
}

/*
 * Which of its heterogeneous nodes a policy names for an address, given the node
 * of the device that wants it; NUMA_NO_NODE when none of them is there.
 */
int gmem_choose_node(unsigned short mode, const nodemask_t *hnodes,
		     unsigned long addr, int nid)
{
	nodemask_t nodes;

	if (!nodes_and(nodes, *hnodes, gmem_hnodes))
		return NUMA_NO_NODE;
	switch (mode) {
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		return nth_node(&nodes, addr >> PMD_SHIFT);
	case MPOL_PREFERRED:
		return first_node(nodes);
	default:
		return nid >= 0 && nid < MAX_NUMNODES && node_isset(nid, nodes) ?
			nid : first_node(nodes);
	}
}

/*
 * The node that the policy of a VMA, or that of its process, names for an
 * address, or NUMA_NO_NODE.  @nid is the node of the device that wants it.
 *
 * mmap_lock is held.  The process is its first thread: devices fault in threads
 * of their own.
 */
int gmem_policy_node(struct vm_area_struct *vma, unsigned long addr, int nid)
{
	nodemask_t hnodes = NODE_MASK_NONE;
	unsigned short mode = MPOL_DEFAULT;
	struct mempolicy *pol;
	pgoff_t ilx;

	if (nodes_empty(gmem_hnodes))
		return NUMA_NO_NODE;
	pol = __get_vma_policy(vma, addr, &ilx);
	if (pol) {
		mode = pol->hmode;
		hnodes = pol->hnodes;
		mpol_cond_put(pol);
	}
#ifdef CONFIG_MEMCG
	rcu_read_lock();
	struct task_struct *task = rcu_dereference(vma->vm_mm->owner);

	if (task) {
		task_lock(task);
		if (!pol && task->mempolicy) {
			mode = task->mempolicy->hmode;
			hnodes = task->mempolicy->hnodes;
		}
		task_unlock(task);
		if (!nodes_empty(hnodes)) {
			nodemask_t allowed = cpuset_hnodes_allowed(task);

			nodes_and(hnodes, hnodes, allowed);
		}
	}
	rcu_read_unlock();
#endif
	return gmem_choose_node(mode, &hnodes, addr, nid);
}

/*
 * The devices to which mbind(2) moves pages: as named_hnodes(), by the rules of a
 * policy that is not split yet.
 */
bool gmem_mbind_hnodes(unsigned short mode, const nodemask_t *nodes,
		       nodemask_t *hnodes)
{
	nodemask_t host;

	nodes_and(host, cpuset_current_mems_allowed, node_states[N_MEMORY]);
	return named_hnodes(mode, nodes, &host, hnodes);
}
