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
 * - *sleepable*: may sleep and allocate with GFP_KERNEL.  mmap_lock (read), the
 *   block lock and folio locks may be held: the function must not fault in user
 *   memory, must not take mmap_lock and must not call back into GMEM.
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

/* Access rights of a device mapping, and the access that faulted. */
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
 *	only with -EFAULT for a dead device, having entered nothing.
 * @pmap_release: (map lock) remove all entries of the range; an entry that is
 *	larger than the range is removed whole.  Cached translations may survive
 *	until the next tlb_invl*().  Must not fail.
 * @pmap_protect: (optional; map lock) reduce the entries of the range to
 *	@access (GM_ACCESS_*).  Without it GMEM releases instead.
 * @pmap_age: (optional; map lock) test and clear the accessed bits of the range;
 *	returns 1 when one was set, else 0.
 * @tlb_invl: (map lock) drop all cached translations of the range and wait until
 *	no access through one is in flight.
 * @tlb_invl_start: (optional; map lock) start dropping the translations of @nr
 *	ranges of one page table; stores a cookie in *@seq.
 * @tlb_invl_wait: (optional; sleepable, no allocation) wait until what the cookie
 *	stands for is done and no access is in flight.  Both functions or none.
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
 * @owner: THIS_MODULE; pinned while GMEM may call @mmu
 * @dev: the device; one reference is taken.  With a DMA mask, host pages reach
 *	pmap_enter() and the copy functions as its DMA addresses, mapped and
 *	unmapped by GMEM; a device without a DMA mask is an emulated one and gets
 *	physical addresses
 * @mmu: the functions; must outlive the device
 * @dev_data: passed back to the functions
 * @caps: GM_DEV_CAP_*
 * @pgsize_bitmap: page sizes the device's page table can hold; PAGE_SIZE must be
 *	among them
 * @va_start: first virtual address the device can reach
 * @va_end: one past the last, or 0 for "all"
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
 * @faults: gm_dev_fault() calls of this device that did work
 * @to_dev: bytes copied to the device, from the host or from another device
 * @from_dev: bytes copied from the device, to the host or to another device
 * @zeroed: bytes zero-filled on the device
 * @peer: bytes of @to_dev that came from another device
 * @evicted: bytes of @from_dev that left to make room
 * @invalidated: invalidations that removed at least one entry
 * @remote: bytes mapped remotely (host memory entered in a page table)
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
	u64 contexts;
};

struct file;

#ifdef CONFIG_GMEM

int gmem_mmap_flags(struct file *file, unsigned long flags,
		    unsigned long *vm_flags);

int gm_dev_create(const struct gm_dev_desc *desc, struct gm_dev **new);
void gm_dev_destroy(struct gm_dev *dev);
int gm_dev_register_physmem(struct gm_dev *dev, u64 size,
			    enum gm_memory_type type);
int gm_dev_unregister_physmem(struct gm_dev *dev);
int gm_dev_hnid(struct gm_dev *dev);
void gm_dev_get_stats(struct gm_dev *dev, struct gm_dev_stats *stats);

int gm_as_create(u64 start, u64 end, struct gm_as **as);
void gm_as_destroy(struct gm_as *as);
int gm_as_get_current(bool whole, struct gm_as **as);
void gm_as_put(struct gm_as *as);
int gm_as_attach(struct gm_as *as, struct gm_dev *dev, void *file_data,
		 struct gm_context **ctx);
void gm_as_detach(struct gm_context *ctx);

int gm_dev_fault(struct gm_context *ctx, u64 addr, u64 len, u32 access,
		 enum gm_fault_hint hint);

#else /* !CONFIG_GMEM */

static inline int gmem_mmap_flags(struct file *file, unsigned long flags,
				  unsigned long *vm_flags)
{
	return 0;
}

#endif /* CONFIG_GMEM */
#endif /* _LINUX_GMEM_H */
