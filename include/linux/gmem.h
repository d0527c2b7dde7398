/* SPDX-License-Identifier: GPL-2.0 */
/*
 * GMEM: one memory manager for every accelerator.
 *
 * This header is the contract between the machine-independent core in
 * mm/gmem/ and the drivers.  Rust drivers use it through rust/kernel/gmem.rs.
 */
#ifndef _LINUX_GMEM_H
#define _LINUX_GMEM_H

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/types.h>

struct device;
struct mm_struct;
struct module;

/**
 * DOC: overview
 *
 * A driver describes its device once (gm_dev_create()), hands over the memory
 * of the device (gm_dev_register_physmem()) and, for every process that opens
 * it, attaches the process's mirror address space (gm_as_attach()).  From then
 * on it calls gm_dev_fault() when the device misses a translation, or before a
 * launch when the device cannot fault.  Everything else - where a page lies,
 * moving it, taking it away, accounting for it - is done by GMEM, which
 * reaches the hardware through the functions of &struct gm_mmu.
 *
 * The CPU page table stays the truth.  A page whose bytes are in device memory
 * is a device-private folio, so its CPU entry is a device entry that fork,
 * mremap, mprotect, munmap and GUP understand.  What a driver keeps in its own
 * page table is a cache which GMEM fills with gm_mmu.pmap_enter() and empties
 * with gm_mmu.pmap_release().
 */

/**
 * DOC: locking
 *
 * GMEM has two lock chains::
 *
 *   sleeping side: mmap_lock -> block lock -> folio lock -> device memory lock
 *   notifier side: mmap_lock, i_mmap, anon_vma, folio lock -> map lock
 *
 * The context of each gm_mmu function is named at the function:
 *
 * - *sleepable*: may sleep and allocate with GFP_KERNEL.  mmap_lock (read or
 *   write), the block lock and folio locks may be held: the function must not
 *   fault in user memory, must not take mmap_lock and must not call back into
 *   GMEM.
 * - *map lock*: the map lock of the address space is held.  The function may
 *   take its own mutexes, but may not allocate, fault, take mmap_lock, or wait
 *   for anything that does one of these (in particular not for a job that is
 *   itself inside gm_dev_fault()).
 *
 * GMEM never calls a gm_mmu function in atomic context, with one exception that
 * is not a call: device pages are given back to GMEM's own allocator.
 */

struct gm_as;
struct gm_context;
struct gm_dev;

/* Access rights of a device mapping, and the access that faulted; writing includes reading. */
#define GM_ACCESS_READ	0x1
#define GM_ACCESS_WRITE	0x2

/* What an address of a &struct gm_map means. */
#define GM_MAP_LOCAL	0x100	/* offset in the device's own memory */
#define GM_MAP_HOST	0	/* DMA address of a host page */

/**
 * DOC: capabilities
 *
 * - %GM_DEV_CAP_REPLAYABLE: an access that missed is replayed after the fault
 *   was resolved.  Without it the driver prepares all ranges before a launch.
 * - %GM_DEV_CAP_PEER: the device has an operating system of its own that manages
 *   its virtual addresses; GMEM calls peer_va_alloc_fixed() and peer_va_free().
 * - %GM_DEV_CAP_COHERENT: the CPU can load from and store to the device memory.
 * - %GM_DEV_CAP_ATOMICS: device atomics to host memory are atomic for the CPU.
 *
 * %GM_DEV_CAP_PEER and %GM_DEV_CAP_COHERENT are refused for now, and the other two
 * change nothing in what GMEM does: the driver decides when it calls
 * gm_dev_fault().
 */
#define GM_DEV_CAP_REPLAYABLE	0x1
#define GM_DEV_CAP_PEER		0x2
#define GM_DEV_CAP_COHERENT	0x4
#define GM_DEV_CAP_ATOMICS	0x8

/**
 * enum gm_fault_hint - what the caller of gm_dev_fault() knows about the access
 * @GM_FAULT_DEMAND: the device waits for this address
 * @GM_FAULT_PREPARE: the range is about to be used by a launch
 */
enum gm_fault_hint {
	GM_FAULT_DEMAND,
	GM_FAULT_PREPARE,
};

/**
 * struct gm_map - one run of pages for gm_mmu.pmap_enter()
 * @va: virtual address, multiple of PAGE_SIZE
 * @addr: offset in the device's memory (%GM_MAP_LOCAL) or DMA address, bytes
 * @nr_pages: length of the run in units of PAGE_SIZE; both sides contiguous
 * @flags: GM_ACCESS_* and %GM_MAP_LOCAL
 *
 * A run never crosses a 2 MiB boundary of @va.  A run of 2 MiB whose @addr is
 * 2 MiB aligned may be entered as one large entry.
 */
struct gm_map {
	u64 va;
	u64 addr;
	u32 nr_pages;
	u32 flags;
};

/**
 * struct gm_copy - one run of bytes for the data functions
 * @dev_addr: offset in the device's memory, bytes, multiple of PAGE_SIZE
 * @other: the other side: DMA address of host memory, or for copy_peer() the
 *	offset in the source device's memory; unused by prepare_page()
 * @len: length in bytes, multiple of PAGE_SIZE
 */
struct gm_copy {
	u64 dev_addr;
	u64 other;
	u64 len;
};

/**
 * struct gm_range - a range of virtual addresses
 * @va: first byte, multiple of PAGE_SIZE
 * @len: length in bytes, multiple of PAGE_SIZE
 */
struct gm_range {
	u64 va;
	u64 len;
};

/**
 * struct gm_mmu - what only the driver can do
 *
 * @peer_va_alloc_fixed: (optional; sleepable) reserve [@va, @va + @len) in the
 *	operating system of the device.  -ENOMEM when the range is taken there.
 * @peer_va_free: (optional; sleepable) give the range back.
 * @pmap_create: (sleepable) make an empty page table for a context; @file_data is
 *	what the driver passed to gm_as_attach().  Stores the handle in *@pmap.
 * @pmap_destroy: (sleepable) free it.  All entries were released before.
 * @pmap_prepare: (sleepable) build the page-table pages for the range, so that
 *	pmap_enter() has nothing to allocate.  Idempotent.
 * @pmap_enter: (map lock) install @nr runs; replaces what was there.  Fails
 *	only with -EFAULT for a dead device, or with -EAGAIN when a
 *	pmap_release() took away what pmap_prepare() had built, which is then
 *	called again; having entered nothing.
 * @pmap_release: (map lock) remove all entries of the range; an entry that is
 *	larger than the range is removed whole.  Cached translations may survive
 *	until the next tlb_invl*().  Must not fail.
 * @pmap_protect: (optional; map lock) reduce the entries of the range to
 *	@access (GM_ACCESS_*).  Without it GMEM releases instead.
 * @pmap_age: (optional; map lock) test and clear the accessed bits of the range;
 *	returns 1 when one was set, else 0.  A TLB that would keep the device from
 *	setting them again is flushed, without waiting.
 * @tlb_invl: (map lock) drop all cached translations of the range and wait until
 *	no access through one is in flight.
 * @tlb_invl_start: (optional; map lock) start dropping the translations of @nr
 *	ranges of one page table; stores a cookie in *@seq.
 * @tlb_invl_wait: (optional; map lock) wait until what the cookie stands for is
 *	done and no access is in flight.  Both functions or none.
 * @prepare_page: (sleepable) fill @nr runs of device memory with zeroes.
 * @copy_to_dev: (sleepable) copy @nr runs from host memory.
 * @copy_from_dev: (sleepable) copy @nr runs to host memory.
 * @copy_peer: (optional; sleepable) copy @nr runs from @src's memory; both devices
 *	use this same &struct gm_mmu.  Without it, or on -EOPNOTSUPP, GMEM copies
 *	through host memory.
 * @fence_wait: (sleepable) wait for the fence that one of the four functions above
 *	stored in *@fence; 0 or the error of the work.  A fence of 0 is already
 *	done and is not waited for.
 * @alloc_page: (optional; sleepable) the firmware allocates: find @len bytes of
 *	device memory, store the offset.  Without it GMEM allocates.
 * @free_page: (optional; sleepable) the counterpart.
 *
 * @dev_data is the driver's pointer given to gm_dev_create(), @pmap the handle of
 * pmap_create().  All functions return 0 or a negative errno if not said
 * otherwise.  GMEM calls data functions with at most 512 runs.
 *
 * peer_va_alloc_fixed(), peer_va_free(), pmap_protect(), alloc_page() and
 * free_page() are not called yet.
 */
struct gm_mmu {
	int (*peer_va_alloc_fixed)(void *pmap, u64 va, u64 len, u32 access);
	void (*peer_va_free)(void *pmap, u64 va, u64 len);

	int (*pmap_create)(void *dev_data, void *file_data, void **pmap);
	void (*pmap_destroy)(void *pmap);
	int (*pmap_prepare)(void *pmap, u64 va, u64 len);
	int (*pmap_enter)(void *pmap, const struct gm_map *maps, u32 nr);
	void (*pmap_release)(void *pmap, u64 va, u64 len);
	void (*pmap_protect)(void *pmap, u64 va, u64 len, u32 access);
	int (*pmap_age)(void *pmap, u64 va, u64 len);

	void (*tlb_invl)(void *pmap, u64 va, u64 len);
	void (*tlb_invl_start)(void *pmap, const struct gm_range *ranges, u32 nr,
			       u64 *seq);
	void (*tlb_invl_wait)(void *pmap, u64 seq);

	int (*prepare_page)(void *dev_data, const struct gm_copy *runs, u32 nr,
			    u64 *fence);
	int (*copy_to_dev)(void *dev_data, const struct gm_copy *runs, u32 nr,
			   u64 *fence);
	int (*copy_from_dev)(void *dev_data, const struct gm_copy *runs, u32 nr,
			     u64 *fence);
	int (*copy_peer)(void *dev_data, void *src_data,
			 const struct gm_copy *runs, u32 nr, u64 *fence);
	int (*fence_wait)(void *dev_data, u64 fence);

	int (*alloc_page)(void *dev_data, u64 len, u64 *dev_addr);
	void (*free_page)(void *dev_data, u64 dev_addr, u64 len);
};

/**
 * struct gm_dev_desc - what a driver says of its device
 * @name: short name for messages and debugfs; copied
 * @owner: THIS_MODULE; pinned by every context, so that a module cannot go while
 *	a process uses its device
 * @dev: the device, or NULL; looked at by gm_dev_create() only.  Host pages reach
 *	pmap_enter() and the copy functions as physical addresses.  A device
 *	without a DMA mask is an emulated one; one with a DMA mask must reach all
 *	of host memory at these addresses, without an IOMMU or bounce buffers
 * @mmu: the functions; needed until gm_dev_destroy() returned
 * @dev_data: passed back to the functions
 * @caps: GM_DEV_CAP_*
 * @pgsize_bitmap: page sizes the device's page table can hold, one bit each;
 *	PAGE_SIZE must be among them
 * @va_start: first virtual address the device can reach
 * @va_end: one past the last, or 0 for "all"
 * @bandwidth: of the device's memory as the device sees it, in MB/s, or 0
 * @latency: likewise, in ns; both are shown at the memory's node
 */
struct gm_dev_desc {
	const char *name;
	struct module *owner;
	struct device *dev;
	const struct gm_mmu *mmu;
	void *dev_data;
	u64 caps;
	u64 pgsize_bitmap;
	u64 va_start;
	u64 va_end;
	u32 bandwidth;
	u32 latency;
};

/**
 * enum gm_memory_type - how the CPU sees registered device memory
 * @GM_MEMORY_PRIVATE: not at all; a CPU access brings the page home
 * @GM_MEMORY_COHERENT: with loads and stores
 */
enum gm_memory_type {
	GM_MEMORY_PRIVATE,
	GM_MEMORY_COHERENT,
};

/**
 * struct gm_dev_stats - counters of one device since gm_dev_create()
 * @mem_total: size of the registered memory, bytes
 * @mem_free: bytes not in use
 * @faults: gm_dev_fault() calls and prefetched blocks of 2 MiB that reached the
 *	memory of the process, failed ones included
 * @to_dev: bytes copied to the device, from the host or from another device
 * @from_dev: bytes copied from the device, to the host or to another device
 * @zeroed: bytes zero-filled on the device
 * @peer: bytes of @to_dev that came from another device
 * @evicted: bytes of @from_dev that left to make room
 * @invalidated: invalidations that removed at least one entry
 * @remote: bytes mapped remotely (host memory entered in a page table)
 * @duplicated: bytes of which the device has a read-only copy now
 * @contexts: attached contexts now
 */
struct gm_dev_stats {
	u64 mem_total;
	u64 mem_free;
	u64 faults;
	u64 to_dev;
	u64 from_dev;
	u64 zeroed;
	u64 peer;
	u64 evicted;
	u64 invalidated;
	u64 remote;
	u64 duplicated;
	u64 contexts;
};

/**
 * enum gm_as_policy - where gm_as_alloc_va() looks for addresses
 * @GM_AS_FIRST_FIT: the lowest gap that is large enough
 * @GM_AS_BEST_FIT: the smallest gap that is large enough
 * @GM_AS_NEXT_FIT: the first place behind the previous allocation
 */
enum gm_as_policy {
	GM_AS_FIRST_FIT,
	GM_AS_BEST_FIT,
	GM_AS_NEXT_FIT,
};

struct file;

#ifdef CONFIG_GMEM

int gmem_mmap_flags(struct file *file, unsigned long flags,
		    unsigned long *vm_flags);

/*
 * A flag of an mm: there are attributes of ranges of its memory.  The upper half
 * of the flags is not used by others, and not inherited by fork.
 */
#define MMF_GMEM_ADVICE		32

void __gmem_fork(struct mm_struct *mm, struct mm_struct *oldmm);
void __gmem_exit(struct mm_struct *mm);
int __gmem_mremap(struct mm_struct *mm, unsigned long from, unsigned long to,
		  unsigned long len, bool keep);
void __gmem_munmap(struct mm_struct *mm, unsigned long start,
		   unsigned long end);

/*
 * Called for a range in one mapping whose pages cannot be moved to other addresses
 * where they are, with no lock held; @mm has a user.  Returns whether any of
 * them came home from a device, so that it is worth to try again.
 */
bool gmem_take_home(struct mm_struct *mm, unsigned long start,
		    unsigned long len);

/* Called at the end of a fork, with both mmap_locks held. */
static inline void gmem_fork(struct mm_struct *mm, struct mm_struct *oldmm)
{
	if (mm_flags_test(MMF_GMEM_ADVICE, oldmm))
		__gmem_fork(mm, oldmm);
}

/* Called when nobody uses @mm any more. */
static inline void gmem_exit(struct mm_struct *mm)
{
	if (mm_flags_test(MMF_GMEM_ADVICE, mm))
		__gmem_exit(mm);
}

/*
 * Called when pages moved, with mmap_lock held; @keep when @from stays mapped.
 * On failure the caller moves them back and unmaps the new place.
 */
static inline int gmem_mremap(struct mm_struct *mm, unsigned long from,
			      unsigned long to, unsigned long len, bool keep)
{
	if (mm_flags_test(MMF_GMEM_ADVICE, mm))
		return __gmem_mremap(mm, from, to, len, keep);
	return 0;
}

/* Called when a range is unmapped, with mmap_lock held. */
static inline void gmem_munmap(struct mm_struct *mm, unsigned long start,
			       unsigned long end)
{
	if (mm_flags_test(MMF_GMEM_ADVICE, mm))
		__gmem_munmap(mm, start, end);
}

/**
 * gm_dev_create - tell GMEM about a device
 * @desc: the description; needed for the call only, but what @mmu and @dev_data
 *	of it point to must stay until gm_dev_destroy() returned
 * @new: where the handle goes
 *
 * The device has no memory yet.  It can be attached all the same: then all its
 * accesses are remote.
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - @new is the device
 * * -EINVAL - @desc or @new is NULL, @desc has no name or no functions, a function
 *   that is not optional is missing or one of a pair, a capability is not known
 *   or not supported yet (%GM_DEV_CAP_PEER, %GM_DEV_CAP_COHERENT), PAGE_SIZE is
 *   not among the page sizes, or the last virtual address lies before the first
 * * -EOPNOTSUPP - the kernel was booted with gmem=off, or the device has a DMA
 *   mask and cannot reach all of host memory at its physical addresses
 * * -ENOSPC - there are 63 devices already
 * * -ENOMEM
 */
int gm_dev_create(const struct gm_dev_desc *desc, struct gm_dev **new);

/**
 * gm_dev_destroy - make GMEM forget a device
 * @dev: the device, or NULL
 *
 * All contexts of the device were detached before.  Memory that is still
 * registered is taken back as by gm_dev_unregister_physmem().  If that fails,
 * data is on the device that cannot come home: a message is logged, and the
 * device is dead as after gm_dev_dead().  A driver that can keep the device calls
 * gm_dev_unregister_physmem() first.
 *
 * In either case GMEM calls no function of the device any more when this returns
 * and holds no reference to its &struct device: the module, the device and
 * @dev_data may go.  The number of the device and the node of its memory are not
 * given to another one before the last lost page is unmapped.
 *
 * Context: Process context, may sleep for more than ten seconds.  The caller
 * holds no lock that a function of &struct gm_mmu takes, and is not inside one.
 */
void gm_dev_destroy(struct gm_dev *dev);

/**
 * gm_dev_dead - tell GMEM that a device will not work any more
 * @dev: the device; with NULL nothing happens
 *
 * For a device that lost its power or its link, or that cannot be brought back
 * after an error: it makes no accesses and gives no data any more.  Calls of its
 * functions that are under way must return, with whatever result; they are
 * waited for.  When this returns no function of &struct gm_mmu is called any more,
 * with one exception: gm_mmu.pmap_destroy(), inside a gm_as_detach() of the
 * driver.  gm_dev_fault() and everything else that needs the device gets -ENODEV.
 *
 * Pages whose bytes were on the device are lost.  A process that touches one gets
 * SIGBUS, with the address and BUS_MCEERR_AR (BUS_ADRERR in a kernel without
 * CONFIG_MEMORY_FAILURE); another device that does gets -EFAULT.  It may fork,
 * unmap the pages and exit as before.  GMEM keeps the pages and the node until
 * the last of them is unmapped.
 *
 * The driver detaches all contexts and calls gm_dev_destroy() after this as
 * always.
 *
 * Context: Process context, may sleep.  The caller holds no lock that a function
 * of &struct gm_mmu takes, and is not inside one, nor inside gm_dev_fault().
 */
void gm_dev_dead(struct gm_dev *dev);

/**
 * gm_dev_register_physmem - hand the memory of a device to GMEM
 * @dev: the device
 * @size: size in bytes, a multiple of 2 MiB; GMEM uses the offsets 0 to @size - 1
 * @type: %GM_MEMORY_PRIVATE
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * more than 0 - the number of the memory's node
 * * -EINVAL - @dev is NULL or @size is 0 or not a multiple of 2 MiB
 * * -EOPNOTSUPP - @type is %GM_MEMORY_COHERENT, which is not supported yet
 * * -EBUSY - there is memory already
 * * -ENODEV - gm_dev_unregister_physmem() is at work
 * * -ERANGE - no physical addresses are free to name the pages by
 * * -ENOMEM
 */
int gm_dev_register_physmem(struct gm_dev *dev, u64 size,
			    enum gm_memory_type type);

/**
 * gm_dev_unregister_physmem - take the memory of a device back
 * @dev: the device
 *
 * New faults and attachments get -ENODEV from the start, those that run are waited
 * for.  Then everything that is in the memory is brought home, whichever process
 * it belongs to.  On failure the device works on as before, with all that is
 * pinned to it.  On success memory can be registered again; contexts stay
 * attached.
 *
 * Context: Process context, may sleep for more than ten seconds.  The caller
 * holds no lock that a function of &struct gm_mmu takes, and is not inside one.
 *
 * Return:
 * * 0 - GMEM uses the memory no more
 * * -EINVAL - @dev is NULL
 * * -ENODEV - there is no memory, another caller is at work, or the device is dead
 * * -EBUSY - some page would not leave within ten seconds
 * * -ENOMEM - the host has no room
 * * -EIO - the device did not give its bytes
 */
int gm_dev_unregister_physmem(struct gm_dev *dev);

/**
 * gm_dev_hnid - the number of the node of a device's memory
 * @dev: the device
 *
 * Context: Process context, may sleep.
 *
 * Return: the number, -ENODEV when no memory is registered, or -EINVAL when @dev
 * is NULL.
 */
int gm_dev_hnid(struct gm_dev *dev);

/**
 * gm_dev_get_stats - read the counters of a device
 * @dev: the device; with NULL nothing happens
 * @stats: where the counters go; they are read one after the other
 *
 * Context: Process context, may sleep.
 */
void gm_dev_get_stats(struct gm_dev *dev, struct gm_dev_stats *stats);

/**
 * DOC: standalone address spaces
 *
 * A standalone address space belongs to no process: the driver that made it
 * gives out its addresses and says what is mapped there, as the user of an
 * IOMMU does.  What it maps is entered into the page tables of all attached
 * devices at once, so devices are attached first.  Nothing faults:
 * gm_dev_fault() returns -EINVAL, and nothing moves.  The driver keeps the
 * host pages, and their DMA mappings, until gm_as_unmap() has returned.
 *
 * The functions may sleep.  They take a lock of the address space under which
 * the sleepable functions of &struct gm_mmu are called, so they are not for
 * reclaim or MMU notifiers.  On an address space of a process they return
 * -EINVAL.
 */

/**
 * gm_as_create - make a standalone address space
 * @start: first virtual address, multiple of PAGE_SIZE
 * @end: one past the last, multiple of PAGE_SIZE; 0 for the end of all
 * @policy: which addresses gm_as_alloc_va() takes
 * @quantum: bytes, multiple of PAGE_SIZE: freed ranges of 1 to 8 times this
 *	size are kept for the next allocation of the same size; 0 keeps none
 * @as: where the new address space is stored
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - @as is the address space
 * * -EINVAL - the range is empty, a number is not a multiple of PAGE_SIZE, @policy
 *   is unknown, or @as is NULL
 * * -EOPNOTSUPP - the kernel was booted with gmem=off
 * * -ENOMEM
 */
int gm_as_create(u64 start, u64 end, enum gm_as_policy policy, u64 quantum,
		 struct gm_as **as);

/**
 * gm_as_destroy - free a standalone address space
 * @as: the address space
 *
 * Addresses need not be given back before.
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - it is gone
 * * -EBUSY - a device is attached; nothing happened
 * * -EINVAL - @as is NULL or the address space of a process
 */
int gm_as_destroy(struct gm_as *as);

/**
 * gm_as_alloc_va - take addresses of a standalone address space
 * @as: the address space
 * @len: bytes, multiple of PAGE_SIZE
 * @align: bytes, a power of two; up to PAGE_SIZE means PAGE_SIZE, as does 0
 * @va: where the first address is stored
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - @va is the first of @len bytes
 * * -EINVAL - @len is 0 or not a multiple of PAGE_SIZE, @align is not a power of
 *   two, a pointer is NULL, or @as is the address space of a process
 * * -ENOSPC - no gap is large enough
 * * -ENOMEM
 */
int gm_as_alloc_va(struct gm_as *as, u64 len, u64 align, u64 *va);

/**
 * gm_as_reserve_va - take given addresses of a standalone address space
 * @as: the address space
 * @va: first address, multiple of PAGE_SIZE
 * @len: bytes, multiple of PAGE_SIZE
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - the range is taken
 * * -EINVAL - the range is empty, not whole pages or not inside the address space,
 *   @as is NULL or the address space of a process
 * * -EEXIST - not all of the range is free
 * * -ENOMEM
 */
int gm_as_reserve_va(struct gm_as *as, u64 va, u64 len);

/**
 * gm_as_free_va - give addresses of a standalone address space back
 * @as: the address space
 * @va: first address, as taken
 * @len: bytes, as taken
 *
 * Context: Process context, may sleep; needs no memory.
 *
 * Return:
 * * 0 - the addresses are free
 * * -EINVAL - the range was not taken like this, @as is NULL or the address space
 *   of a process
 * * -EBUSY - something is mapped there
 */
int gm_as_free_va(struct gm_as *as, u64 va, u64 len);

/**
 * gm_as_map - enter host pages into all contexts of a standalone address space
 * @as: the address space
 * @va: first address; the range is part of one that was taken
 * @maps: runs of host pages which follow one another from @va on, each with
 *	%GM_ACCESS_READ, or both rights, and a DMA address that is good for
 *	every attached device
 * @nr: number of runs
 *
 * A mapping lasts until gm_as_unmap(), in each context until it is detached at
 * most.  gm_as_attach() to an address space where something is mapped returns
 * -EBUSY, because the new context would miss it.
 *
 * After an error nothing of it is mapped anywhere.
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - all devices can use the pages
 * * -EINVAL - the runs are not as said here and at &struct gm_map, or none, the
 *   range was not taken, a pointer is NULL, or @as is the address space of a
 *   process
 * * -EEXIST - something is mapped in the range
 * * -ENODEV - no device is attached
 * * -ERANGE - a device cannot reach the range
 * * -ENOMEM
 * * what gm_mmu.pmap_prepare() or gm_mmu.pmap_enter() returned
 */
int gm_as_map(struct gm_as *as, u64 va, const struct gm_map *maps, u32 nr);

/**
 * gm_as_unmap - take pages from all contexts of a standalone address space
 * @as: the address space
 * @va: first address, multiple of PAGE_SIZE; the range is part of one that was
 *	taken, and may have gaps
 * @len: bytes, multiple of PAGE_SIZE
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - no device uses the pages any more
 * * -EINVAL - the range was not taken, is empty or not whole pages, cuts a run of
 *   2 MiB that a device may hold in one entry, @as is NULL or the address space
 *   of a process; nothing happened
 */
int gm_as_unmap(struct gm_as *as, u64 va, u64 len);

/**
 * gm_as_get_current - the mirror address space of the calling process
 * @whole: let devices use all of the process's memory, not only what is mapped
 *	with MAP_PEER_SHARED; cannot be taken back while the address space lives
 * @as: where the handle goes
 *
 * All callers in one process get the same address space.  It keeps the
 * mm_struct, but not the memory: a process can end with devices attached.
 *
 * Context: Process context, may sleep.
 *
 * Return: 0, or a negative errno: -EINVAL in a kernel thread, -EOPNOTSUPP with
 * gmem=off, -ENOMEM.
 */
int gm_as_get_current(bool whole, struct gm_as **as);

/**
 * gm_as_put - give back what gm_as_get_current() returned
 * @as: the address space, or NULL
 *
 * Contexts keep their address space, so this may follow gm_as_attach() at once.
 *
 * Context: Process context, may sleep.  Not under mmap_lock.
 */
void gm_as_put(struct gm_as *as);

/**
 * gm_as_attach - attach a device to an address space
 * @as: the address space
 * @dev: the device
 * @file_data: passed to gm_mmu.pmap_create()
 * @ctx: where the handle goes
 *
 * One device may be attached more than once; each context has a page table of
 * its own.  pmap_create() may be called several times, when other threads attach
 * at the same moment; all page tables but the last one are destroyed again.
 * The module that owns the device is pinned until the context is detached.
 *
 * Context: Process context, may sleep.
 *
 * Return:
 * * 0 - @ctx is the context
 * * -EINVAL - @as or @dev is NULL
 * * -ENODEV - the module is being unloaded, the memory taken back, or the device
 *   dead
 * * -ENOSPC - the address space has 16 contexts already
 * * -EBUSY - the address space is a standalone one where something is mapped
 * * -EAGAIN - other threads got in the way again and again
 * * -ENOMEM
 * * what pmap_create() returned
 */
int gm_as_attach(struct gm_as *as, struct gm_dev *dev, void *file_data,
		 struct gm_context **ctx);

/**
 * gm_as_detach - detach a device from an address space
 * @ctx: the context, or NULL; not valid any more afterwards
 *
 * Waits for gm_dev_fault() calls that run on the context, then removes all entries
 * from its page table and destroys it.  Data that is on the device stays there:
 * it belongs to the process, which may have it back by touching it.
 *
 * Context: Process context, may sleep.  Not under mmap_lock, not inside
 * gm_dev_fault() of the same context, and no lock is held that a function of
 * &struct gm_mmu takes.
 */
void gm_as_detach(struct gm_context *ctx);

/**
 * gm_dev_fault - resolve a device fault, or prepare a range before a launch
 * @ctx: the context
 * @addr: first byte that the device needs
 * @len: length in bytes; 0 counts as 1
 * @access: %GM_ACCESS_READ, or %GM_ACCESS_WRITE, which includes reading
 * @hint: what the caller knows
 *
 * Every page of the range is brought to the device, or if it cannot move mapped
 * where it is, together with some of its neighbours when @hint or the size of a
 * folio suggests it.  Success says that every page of the range was entered with
 * pmap_enter() at some instant during the call.  It may be released again by
 * the time the call returns; the device then faults again, so that replaying
 * has to be a loop.
 *
 * Context: Process context of any thread, may sleep; takes mmap_lock of the
 * address space's process.  The caller holds no lock that a function of &struct
 * gm_mmu takes.
 *
 * What was entered before an error stays.
 *
 * Return:
 * * 0 - all of it was entered
 * * -EINVAL - @ctx is NULL, or of a standalone address space
 * * -EFAULT - the range has a hole, memory that is not shared with devices or that
 *   was lost with another device, or lies beyond the device's reach
 * * -EPERM - the mapping does not permit @access
 * * -ENOMEM - neither the device nor the host has room
 * * -EIO - the device failed to zero or copy
 * * -ENODEV - the context is being detached, the memory taken back, or the device
 *   dead
 * * -ESRCH - the process has ended
 * * -EINTR - a fatal signal is pending for the calling thread
 * * -EAGAIN - the range kept changing; the access may be tried again
 * * what pmap_prepare() or pmap_enter() returned
 */
int gm_dev_fault(struct gm_context *ctx, u64 addr, u64 len, u32 access,
		 enum gm_fault_hint hint);

#else /* !CONFIG_GMEM */

static inline int gmem_mmap_flags(struct file *file, unsigned long flags,
				  unsigned long *vm_flags)
{
	return 0;
}

static inline void gmem_fork(struct mm_struct *mm, struct mm_struct *oldmm)
{
}

static inline void gmem_exit(struct mm_struct *mm)
{
}

static inline int gmem_mremap(struct mm_struct *mm, unsigned long from,
			      unsigned long to, unsigned long len, bool keep)
{
	return 0;
}

static inline void gmem_munmap(struct mm_struct *mm, unsigned long start,
			       unsigned long end)
{
}

static inline bool gmem_take_home(struct mm_struct *mm, unsigned long start,
				  unsigned long len)
{
	return false;
}

#endif /* CONFIG_GMEM */
#endif /* _LINUX_GMEM_H */
