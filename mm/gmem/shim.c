// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C side of GMEM: what Rust cannot express - the system call, the exports,
 * the boot parameter, trace points and fault injection - and nothing else.
 */
#define pr_fmt(fmt) "gmem: " fmt

#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/fault-inject.h>
#include <linux/gmem.h>
#include <linux/gmem_core.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/nodemask.h>
#include <linux/sched/mm.h>
#include <linux/secretmem.h>
#include <linux/sched/signal.h>
#include <linux/syscalls.h>
#include <linux/swap.h>
#include <linux/sysctl.h>
#include <linux/vmstat.h>

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/gmem.h>

bool gmem_enabled __ro_after_init = true;

static int __init gmem_setup(char *arg)
{
	return kstrtobool(arg, &gmem_enabled);
}
early_param("gmem", gmem_setup);

static int __init gmem_start(void)
{
	return gmem_enabled ? gmem_init() : 0;
}
subsys_initcall(gmem_start);

/**
 * gmem_mmap_flags - check MAP_PEER_SHARED and translate it
 * @file: the file to be mapped, or NULL
 * @flags: MAP_* flags with %MAP_PEER_SHARED
 * @vm_flags: VM_* flags, to be added to
 *
 * A mapping of a driver is refused when a device faults on it: its kind is not
 * known before the driver's mmap function has run.
 *
 * Return: 0, or -EINVAL together with MAP_HUGETLB or for a file of hugetlbfs, of
 * memfd_secret(2) or on DAX.
 */
int gmem_mmap_flags(struct file *file, unsigned long flags,
		    unsigned long *vm_flags)
{
	if (!gmem_enabled)
		return 0;
	if (flags & MAP_HUGETLB)
		return -EINVAL;
	if (file && (is_file_hugepages(file) || IS_DAX(file_inode(file)) ||
		     secretmem_mapping(file->f_mapping)))
		return -EINVAL;
	*vm_flags |= VM_PEER_SHARED;
	return 0;
}

SYSCALL_DEFINE4(hmadvise, int, hnid, unsigned long, start, size_t, len,
		int, behavior)
{
	if (!gmem_enabled)
		return -EOPNOTSUPP;
	return gmem_hmadvise(hnid, untagged_addr(start), len, behavior);
}

/*
 * Only such memory has pages that the kernel may read, count and move.  The flags
 * are those of drivers' mappings.  A device must never write a shadow stack.
 */
bool gmem_vma_is_ordinary(struct vm_area_struct *vma)
{
	const vm_flags_t special = VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_SHADOW_STACK;

	return !(vma->vm_flags & special) && !is_vm_hugetlb_page(vma) &&
	       !vma_is_secretmem(vma) && !vma_is_dax(vma);
}

bool gmem_has_advice(struct mm_struct *mm)
{
	return mm_flags_test(MMF_GMEM_ADVICE, mm);
}

void gmem_set_has_advice(struct mm_struct *mm)
{
	mm_flags_set(MMF_GMEM_ADVICE, mm);
}

static int gmem_pin_percent = 75;

static const struct ctl_table gmem_sysctls[] = {
	{
		.procname	= "gmem_pin_percent",
		.data		= &gmem_pin_percent,
		.maxlen		= sizeof(gmem_pin_percent),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
		.extra2		= SYSCTL_ONE_HUNDRED,
	},
};

unsigned int gmem_get_pin_percent(void)
{
	return READ_ONCE(gmem_pin_percent);
}

static int __init gmem_sysctl_init(void)
{
	if (gmem_enabled)
		register_sysctl_init("vm", gmem_sysctls);
	return 0;
}
late_initcall(gmem_sysctl_init);

/* As for memory that drivers pin; shown as VmPin in /proc/<pid>/status. */
int gmem_charge_pinned(struct mm_struct *mm, unsigned long pages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;

	if (atomic64_add_return(pages, &mm->pinned_vm) <= limit ||
	    capable(CAP_IPC_LOCK))
		return 0;
	atomic64_sub(pages, &mm->pinned_vm);
	return -EAGAIN;
}

void gmem_uncharge_pinned(struct mm_struct *mm, unsigned long pages)
{
	atomic64_sub(pages, &mm->pinned_vm);
}

/* In the initial namespace, as all of debugfs. */
int gmem_pid_of(struct mm_struct *mm)
{
#ifdef CONFIG_MEMCG
	struct task_struct *owner;
	int pid;

	rcu_read_lock();
	owner = rcu_dereference(mm->owner);
	pid = owner ? task_tgid_nr(owner) : 0;
	rcu_read_unlock();
	return pid;
#else
	return 0;
#endif
}

/*
 * Only mappings of the child are looked at, so what fork does not copy loses its
 * advice in the child.
 */
void __gmem_fork(struct mm_struct *mm, struct mm_struct *oldmm)
{
	VMA_ITERATOR(vmi, mm, 0);
	struct vm_area_struct *vma;

	for_each_vma(vmi, vma) {
		if ((vma->vm_flags & VM_PEER_SHARED) &&
		    !(vma->vm_flags & VM_WIPEONFORK))
			gmem_advice_forked(mm, oldmm, vma->vm_start, vma->vm_end);
	}
}

bool gmem_has_swapped(struct mm_struct *mm)
{
	/* Summing up over all CPUs is for machines that swap. */
	return total_swap_pages && get_mm_counter_sum(mm, MM_SWAPENTS) > 0;
}

/*
 * Host pages reach the device under addresses that need no unmapping: an
 * emulated device has no DMA mask and gets physical addresses, a real one must
 * be mapped directly.
 */
bool gmem_dma_direct(struct device *dev)
{
	if (!dev || !dev->dma_mask)
		return true;
	return !dma_need_unmap(dev) && !device_iommu_mapped(dev) &&
	       dma_get_mask(dev) >= dma_get_required_mask(dev) &&
	       phys_to_dma(dev, 0) == 0;
}

/*
 * Charge kernel memory to the owner of @mm, also when a kernel thread allocates
 * it.  Returns what gmem_charge_end() needs to undo it, NULL for nothing.
 */
struct mem_cgroup *gmem_charge_begin(struct mm_struct *mm,
				     struct mem_cgroup **old)
{
	struct mem_cgroup *memcg;

	if (current->mm == mm)
		return NULL;
	memcg = get_mem_cgroup_from_mm(mm);
	if (memcg)
		*old = set_active_memcg(memcg);
	return memcg;
}

void gmem_charge_end(struct mem_cgroup *memcg, struct mem_cgroup *old)
{
	if (!memcg)
		return;
	set_active_memcg(old);
	mem_cgroup_put(memcg);
}

bool gmem_fatal_signal(void)
{
	return fatal_signal_pending(current);
}

unsigned int gmem_nr_node_ids(void)
{
	return nr_node_ids;
}

bool gmem_node_has_memory(int nid)
{
	return nid >= 0 && nid < MAX_NUMNODES && node_state(nid, N_MEMORY);
}

void gmem_count(unsigned int event, unsigned long nr)
{
	if (event <= GMEM_EVENT_EVICT)
		count_vm_events(GMEM_FAULT + event, nr);
}

#ifdef CONFIG_GMEM_FAULT_INJECTION
static struct fault_attr fail_sites[GMEM_FAIL_SITES] = {
	[0 ... GMEM_FAIL_SITES - 1] = FAULT_ATTR_INITIALIZER,
};

bool gmem_should_fail(enum gmem_fail_site site)
{
	return site < GMEM_FAIL_SITES && should_fail(&fail_sites[site], 1);
}

/* When it is 1, the next fault sets it to 2 and waits until it is 0. */
static u32 hold_read;

void gmem_hold_read(void)
{
	unsigned int ms;

	if (likely(READ_ONCE(hold_read) != 1) || cmpxchg(&hold_read, 1, 2) != 1)
		return;
	for (ms = 0; ms < 60 * MSEC_PER_SEC && READ_ONCE(hold_read); ms += 20)
		msleep(20);
}

static int __init gmem_fail_debugfs(void)
{
	static const char * const names[GMEM_FAIL_SITES] = {
		[GMEM_FAIL_ALLOC]	= "fail_gmem_alloc",
		[GMEM_FAIL_COPY_TO]	= "fail_gmem_copy_to",
		[GMEM_FAIL_COPY_FROM]	= "fail_gmem_copy_from",
		[GMEM_FAIL_COPY_PEER]	= "fail_gmem_copy_peer",
		[GMEM_FAIL_RETRY]	= "fail_gmem_retry",
		[GMEM_FAIL_ATTRIBUTES]	= "fail_gmem_attributes",
		[GMEM_FAIL_HOME]	= "fail_gmem_home",
		[GMEM_FAIL_PMAP_CREATE]	= "fail_gmem_pmap_create",
		[GMEM_FAIL_PMAP_PREPARE] = "fail_gmem_pmap_prepare",
		[GMEM_FAIL_PMAP_ENTER]	= "fail_gmem_pmap_enter",
		[GMEM_FAIL_FENCE]	= "fail_gmem_fence",
	};
	int i;

	for (i = 0; i < GMEM_FAIL_SITES; i++)
		fault_create_debugfs_attr(names[i], NULL, &fail_sites[i]);
	debugfs_create_u32("gmem_hold_read", 0600, NULL, &hold_read);
	return 0;
}
late_initcall(gmem_fail_debugfs);
#else
bool gmem_should_fail(enum gmem_fail_site site)
{
	return false;
}

void gmem_hold_read(void)
{
}
#endif

/* Defined in Rust; an export can only be written in C. */
EXPORT_SYMBOL_GPL(gm_dev_create);
EXPORT_SYMBOL_GPL(gm_dev_destroy);
EXPORT_SYMBOL_GPL(gm_dev_dead);
EXPORT_SYMBOL_GPL(gm_dev_register_physmem);
EXPORT_SYMBOL_GPL(gm_dev_unregister_physmem);
EXPORT_SYMBOL_GPL(gm_dev_hnid);
EXPORT_SYMBOL_GPL(gm_dev_get_stats);
EXPORT_SYMBOL_GPL(gm_as_create);
EXPORT_SYMBOL_GPL(gm_as_destroy);
EXPORT_SYMBOL_GPL(gm_as_alloc_va);
EXPORT_SYMBOL_GPL(gm_as_reserve_va);
EXPORT_SYMBOL_GPL(gm_as_free_va);
EXPORT_SYMBOL_GPL(gm_as_map);
EXPORT_SYMBOL_GPL(gm_as_unmap);
EXPORT_SYMBOL_GPL(gm_as_get_current);
EXPORT_SYMBOL_GPL(gm_as_put);
EXPORT_SYMBOL_GPL(gm_as_attach);
EXPORT_SYMBOL_GPL(gm_as_detach);
EXPORT_SYMBOL_GPL(gm_dev_fault);
