// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where pages are, and moving them there: move_pages(2), migrate_pages(2) and
 * mbind(2) with heterogeneous nodes.
 */
#include <linux/compat.h>
#include <linux/cpuset.h>
#include <linux/gmem_core.h>
#include <linux/gmem_numa.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/leafops.h>
#include <linux/pagewalk.h>
#include <linux/uaccess.h>

/* The page of an entry that is not present, if it is on a heterogeneous node. */
struct page *gmem_hnode_page(softleaf_t entry)
{
	struct page *page;

	if (!softleaf_is_device_private(entry))
		return NULL;
	page = softleaf_to_page(entry);
	return gmem_is_hnode(page_to_nid(page)) ? page : NULL;
}

/* Pages in a row on one node. */
struct run {
	int nid;
	unsigned long start;
	unsigned long end;
};

/* Search for the first run on a node, or with @any for the first page on any node. */
struct search {
	struct run run;
	bool any;
	/* There is something at the address, but nothing with a node. */
	bool other;
};

/* Adds @size bytes at @addr, which are on @nid; returns 1 when the run is complete. */
static int add(struct search *s, unsigned long addr, unsigned long size, int nid)
{
	struct run *run = &s->run;

	/* What was skipped in between, as the walk does with other mappings, does not move. */
	if (run->end && addr != run->end)
		return 1;
	if (s->any && nid >= 0 && run->nid < 0)
		run->nid = nid;
	if (nid < 0 || nid != run->nid)
		return run->end ? 1 : 0;
	if (!run->end)
		run->start = addr;
	run->end = addr + size;
	return 0;
}

static int nid_of(struct page *present, softleaf_t entry)
{
	struct page *page = present ?: gmem_hnode_page(entry);

	return page ? page_to_nid(page) : NUMA_NO_NODE;
}

static int search_pmd(pmd_t *pmd, unsigned long addr, unsigned long end,
		      struct mm_walk *walk)
{
	struct vm_area_struct *vma = walk->vma;
	struct search *s = walk->private;
	pte_t *start, *pte;
	spinlock_t *ptl;
	int ret = 0;

	ptl = pmd_trans_huge_lock(pmd, vma);
	if (ptl) {
		struct page *page = NULL;

		if (pmd_present(*pmd))
			page = vm_normal_page_pmd(vma, addr, *pmd);
		s->other |= !pmd_none(*pmd);
		ret = add(s, addr, end - addr, nid_of(page, softleaf_from_pmd(*pmd)));
		spin_unlock(ptl);
		return ret;
	}
	start = pte = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (!pte) {
		walk->action = ACTION_AGAIN;
		return 0;
	}
	for (; addr != end && !ret; pte++, addr += PAGE_SIZE) {
		pte_t ptent = ptep_get(pte);
		struct page *page = NULL;

		if (pte_present(ptent))
			page = vm_normal_page(vma, addr, ptent);
		s->other |= !pte_none(ptent);
		ret = add(s, addr, PAGE_SIZE, nid_of(page, softleaf_from_pte(ptent)));
	}
	pte_unmap_unlock(start, ptl);
	cond_resched();
	return ret;
}

static int search_hole(unsigned long addr, unsigned long end, int depth,
		       struct mm_walk *walk)
{
	return add(walk->private, addr, end - addr, NUMA_NO_NODE);
}

/* Only peer-shared memory moves to devices. */
static int search_vma(unsigned long start, unsigned long end,
		      struct mm_walk *walk)
{
	struct search *s = walk->private;

	if (!s->any && !(walk->vma->vm_flags & VM_PEER_SHARED))
		return 1;
	return is_vm_hugetlb_page(walk->vma);
}

static const struct mm_walk_ops search_ops = {
	.pmd_entry	= search_pmd,
	.pte_hole	= search_hole,
	.test_walk	= search_vma,
	.walk_lock	= PGWALK_RDLOCK,
};

/* Finds the first run of peer-shared pages on a node. */
static bool find_run(struct mm_struct *mm, unsigned long start,
		     unsigned long end, struct run *run)
{
	struct search s = { .run = { .nid = run->nid } };

	mmap_read_lock(mm);
	walk_page_range(mm, start, end, &search_ops, &s);
	mmap_read_unlock(mm);
	*run = s.run;
	return run->end;
}

/* The node of one page, and whether there is anything else. */
static int page_node(struct vm_area_struct *vma, unsigned long addr, bool *other)
{
	struct search s = { .run = { .nid = NUMA_NO_NODE }, .any = true };

	addr &= PAGE_MASK;
	if (walk_page_range(vma->vm_mm, addr, addr + PAGE_SIZE, &search_ops, &s) < 0)
		return -ENOENT;
	*other = s.other;
	return s.run.end ? s.run.nid : -ENOENT;
}

/*
 * The node of a page in device memory, or -ENOENT when there is none at the
 * address.  mmap_lock is held.
 */
int gmem_page_node(struct vm_area_struct *vma, unsigned long addr)
{
	bool other;
	int nid;

	if (nodes_empty(gmem_hnodes))
		return -ENOENT;
	nid = page_node(vma, addr, &other);
	return nid >= 0 && gmem_is_hnode(nid) ? nid : -ENOENT;
}

/*
 * The node of the page at an address of the mm, or -ENOENT when it is not in
 * device memory.
 */
int gmem_addr_node(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma;
	int nid = -ENOENT;

	if (nodes_empty(gmem_hnodes))
		return nid;
	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		nid = gmem_page_node(vma, addr);
	mmap_read_unlock(mm);
	return nid;
}

/*
 * What became of a page that was to move to @nid: 0 when it is there, -EBUSY
 * when it is elsewhere, -ENOENT when there is none.  mmap_lock is held.
 */
int gmem_move_status(struct vm_area_struct *vma, unsigned long addr, int nid)
{
	bool other = false;

	if (page_node(vma, addr, &other) == nid)
		return 0;
	return other ? -EBUSY : -ENOENT;
}

static int get_page_address(unsigned long *addr,
			    const void __user *__user *pages, unsigned long i)
{
	if (in_compat_syscall()) {
		compat_uptr_t p;

		if (get_user(p, (compat_uptr_t __user *)pages + i))
			return -EFAULT;
		*addr = p;
	} else {
		const void __user *p;

		if (get_user(p, pages + i))
			return -EFAULT;
		*addr = (unsigned long)p;
	}
	*addr = untagged_addr(*addr) & PAGE_MASK;
	return 0;
}

static void move_run(struct mm_struct *mm, struct run *run)
{
	if (run->end)
		gmem_prefetch(mm, run->nid, run->start, run->end - run->start);
	run->end = 0;
}

/*
 * The part of move_pages(2) that concerns devices, done before the rest: pages
 * move to heterogeneous nodes, and home where they are to move to a CPU's node.
 * What did not move is seen afterwards.  A bad argument ends it here too.
 */
void gmem_move_pages(struct mm_struct *mm, const nodemask_t *allowed,
		     unsigned long nr_pages, const void __user *__user *pages,
		     const int __user *nodes)
{
	struct run run = { .nid = NUMA_NO_NODE };
	unsigned long i, addr;

	if (nodes_empty(gmem_hnodes))
		return;
	for (i = 0; i < nr_pages; i++) {
		int nid;

		if (get_page_address(&addr, pages, i) || get_user(nid, nodes + i))
			break;
		if (nid < 0 || nid >= MAX_NUMNODES || !node_isset(nid, *allowed))
			break;
		if (nid != run.nid || addr != run.end) {
			move_run(mm, &run);
			run = (struct run){ .nid = nid, .start = addr };
		}
		run.end = addr + PAGE_SIZE;
	}
	move_run(mm, &run);
}

/* How many peer-shared pages of a range are on a node. */
static long count_pages(struct mm_struct *mm, unsigned long start,
			unsigned long end, int nid)
{
	struct run run = { .nid = nid };
	long pages = 0;

	for (; start < end && find_run(mm, start, end, &run); start = run.end)
		pages += (run.end - run.start) >> PAGE_SHIFT;
	return pages;
}

/* Where pages go: to the node of a policy's that it names for the block, else to @nid. */
struct target {
	unsigned short mode;
	nodemask_t hnodes;
	int nid;
};

/*
 * Moves the peer-shared pages of a range that are on @source.  Returns how many
 * would not move, or -EINTR.
 */
static long move_from(struct mm_struct *mm, unsigned long start,
		      unsigned long end, int source, const struct target *to)
{
	struct run run = { .nid = source };
	unsigned long next;
	long failed = 0;

	for (; start < end && find_run(mm, start, end, &run); start = run.end) {
		for (start = run.start; start < run.end; start = next) {
			int nid = gmem_choose_node(to->mode, &to->hnodes, start,
						   NUMA_NO_NODE);

			if (fatal_signal_pending(current))
				return -EINTR;
			next = run.end;
			if (nid >= 0)
				next = min(next, ALIGN(start + 1, PMD_SIZE));
			else
				nid = to->nid;
			gmem_prefetch(mm, nid, start, next - start);
		}
		failed += count_pages(mm, run.start, run.end, source);
	}
	return failed;
}

/*
 * The part of migrate_pages(2) between a device and another node: moves the
 * peer-shared pages of the process.  Returns how many would not move.
 */
long gmem_migrate_to_node(struct mm_struct *mm, int source, int dest)
{
	const struct target to = { .hnodes = NODE_MASK_NONE, .nid = dest };

	return move_from(mm, 0, mm->task_size, source, &to);
}

/*
 * The part of mbind(2) that concerns devices, done before the rest.  Where pages
 * may be moved, peer-shared ones on other nodes than the policy's go to the
 * device that it names; when it names none, they come home from devices.
 *
 * Returns how many pages are still misplaced; -EIO when that is to fail at once,
 * -EINVAL for nodes that are relative to the cpuset's, or -EINTR.
 */
long gmem_mbind(struct mm_struct *mm, unsigned long start, unsigned long end,
		const struct mempolicy *pol, const nodemask_t *nodes,
		unsigned long flags)
{
	struct target to = { .nid = numa_mem_id() };
	bool move = flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL), device;
	long misplaced = 0, n;
	int source;

	if (nodes_empty(gmem_hnodes) || !(move || flags & MPOL_MF_STRICT))
		return 0;
	if (pol)
		to.mode = pol->hmode;
	device = gmem_mbind_hnodes(to.mode, nodes, &to.hnodes);
	if (pol && pol->flags & MPOL_F_RELATIVE_NODES && device)
		return -EINVAL;
	for_each_online_node(source) {
		/* The host's pages that stay on the host are the caller's. */
		if (node_isset(source, *nodes) ||
		    (!gmem_is_hnode(source) && !(move && device)))
			continue;
		n = move ? move_from(mm, start, end, source, &to) :
			   count_pages(mm, start, end, source);
		if (n < 0)
			return n;
		misplaced += n;
	}
	return misplaced && !move ? -EIO : misplaced;
}
