/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the Rust core of GMEM and its C files.  Nobody else includes this but
 * rust/bindings/bindings_helper.h.
 */
#ifndef _LINUX_GMEM_CORE_H
#define _LINUX_GMEM_CORE_H

#include <linux/nodemask_types.h>
#include <linux/types.h>
#include <uapi/linux/gmem.h>
#include <uapi/linux/mman.h>

struct anon_vma;
struct cgroup_subsys_state;
struct device;
struct dmem_cgroup_pool_state;
struct dmem_cgroup_region;
struct folio;
struct gm_dev_stats;
struct gmem_lease;
struct mem_cgroup;
struct mm_struct;
struct vm_area_struct;

/* Where fail_gmem_* can make GMEM fail. */
enum gmem_fail_site {
	GMEM_FAIL_ALLOC,
	GMEM_FAIL_COPY_TO,
	GMEM_FAIL_COPY_FROM,
	GMEM_FAIL_COPY_PEER,
	GMEM_FAIL_RETRY,
	GMEM_FAIL_ATTRIBUTES,
	GMEM_FAIL_HOME,
	GMEM_FAIL_PMAP_CREATE,
	GMEM_FAIL_PMAP_PREPARE,
	GMEM_FAIL_PMAP_ENTER,
	GMEM_FAIL_FENCE,
	GMEM_FAIL_SITES,
};

/* shim.c, called by Rust */
extern bool gmem_enabled;
bool gmem_should_fail(enum gmem_fail_site site);
void gmem_hold_read(void);
bool gmem_vma_is_ordinary(struct vm_area_struct *vma);
bool gmem_has_advice(struct mm_struct *mm);
void gmem_set_has_advice(struct mm_struct *mm);
int gmem_charge_pinned(struct mm_struct *mm, unsigned long pages);
void gmem_uncharge_pinned(struct mm_struct *mm, unsigned long pages);
unsigned int gmem_get_pin_percent(void);
int gmem_pid_of(struct mm_struct *mm);
bool gmem_has_swapped(struct mm_struct *mm);
bool gmem_dma_direct(struct device *dev);
struct mem_cgroup *gmem_charge_begin(struct mm_struct *mm,
				     struct mem_cgroup **old);
void gmem_charge_end(struct mem_cgroup *memcg, struct mem_cgroup *old);
bool gmem_fatal_signal(void);
unsigned int gmem_nr_node_ids(void);
bool gmem_node_has_memory(int nid);
void gmem_count(unsigned int event, unsigned long nr);

/* migrate/host_folio.c, called by Rust */
struct folio *gmem_home_folio_alloc(unsigned int order, struct vm_area_struct *vma,
				    unsigned long addr, int nid, unsigned long *pfn);
unsigned long gmem_home_folios_alloc(struct vm_area_struct *vma,
				     unsigned long addr, int nid,
				     unsigned long nr, struct folio **folios,
				     unsigned long *pfns);
struct folio *gmem_evict_folio_alloc(unsigned int order, unsigned long *pfn);
unsigned long gmem_evict_folios_alloc(unsigned long nr, struct folio **folios,
				      unsigned long *pfns);
bool gmem_host_has_room(unsigned long pages);

/* reclaim/anon_vma.c, called by Rust */
void gmem_hold_anon_vmas(unsigned long *pfns, struct anon_vma **held,
			 unsigned long nr, unsigned long stranger);
void gmem_put_anon_vmas(struct anon_vma **held, unsigned long nr);

/* fault/on_device.c, called by Rust */
unsigned long gmem_find_on_device(struct mm_struct *mm, unsigned long start,
				  unsigned long end, void *owner, bool owned);

/* device/node.c, numa/mempolicy.c, called by Rust */
int gmem_node_online(void);
void gmem_node_publish(int nid, struct device *dev,
		       unsigned int bandwidth, unsigned int latency);
void gmem_node_retract(int nid);
void gmem_node_offline(int nid);
bool gmem_node_allowed(int nid);
int gmem_policy_node(struct vm_area_struct *vma, unsigned long addr, int nid);
int gmem_choose_node(unsigned short mode, const nodemask_t *hnodes,
		     unsigned long addr, int nid);
bool gmem_mbind_hnodes(unsigned short mode, const nodemask_t *nodes,
		       nodemask_t *hnodes);

/* Indexes for gmem_count(), in the order of enum vm_event_item. */
enum gmem_event {
	GMEM_EVENT_FAULT,
	GMEM_EVENT_CPU_FAULT,
	GMEM_EVENT_INVALIDATE,
	GMEM_EVENT_TO_DEVICE,
	GMEM_EVENT_TO_HOST,
	GMEM_EVENT_ZERO_FILL,
	GMEM_EVENT_EVICT,
};

/* device/dmem.c, called by Rust */
struct dmem_cgroup_region *gmem_dmem_register(u64 size, const char *name);
void gmem_dmem_unregister(struct dmem_cgroup_region *region);
struct cgroup_subsys_state *gmem_dmem_payer(struct mm_struct *mm);
void gmem_dmem_payer_put(struct cgroup_subsys_state *css);
int gmem_dmem_charge(struct dmem_cgroup_region *region, u64 size,
		     struct cgroup_subsys_state *css,
		     struct dmem_cgroup_pool_state **pool,
		     struct dmem_cgroup_pool_state **limit);
void gmem_dmem_uncharge(struct dmem_cgroup_pool_state *pool, u64 size);
void gmem_dmem_limit_put(struct dmem_cgroup_pool_state *limit);
bool gmem_dmem_may_evict(struct dmem_cgroup_pool_state *limit,
			 struct dmem_cgroup_pool_state *pool, bool ignore_low,
			 bool *hit_low);
void gmem_return_soon(void);

/* replica/lease.c, called by Rust and source.c */
struct gmem_lease *gmem_lease_get(struct mm_struct *mm, unsigned long addr);
void gmem_lease_hold(struct gmem_lease *lease);
void gmem_lease_put(struct gmem_lease *lease);
bool gmem_lease_broken(struct gmem_lease *lease);
bool gmem_lease_covers(struct gmem_lease *lease, struct vm_area_struct *vma);
bool gmem_lease_refer(struct gmem_lease *lease, struct folio *folio);
void gmem_lease_unrefer(struct gmem_lease *lease, struct folio *folio);

/* replica/source.c, called by Rust */
void gmem_originals(struct vm_area_struct *vma, unsigned long start,
		    unsigned long nr, struct gmem_lease *lease,
		    unsigned long *pfns, bool *may_drain);
void gmem_originals_put(struct gmem_lease *lease, unsigned long *pfns,
			unsigned long nr);

/* abi/, called by C */
void gmem_return_chunks(void);
void gmem_drop_leased(struct gmem_lease *lease);
int gmem_init(void);
int gmem_hmadvise(int hnid, unsigned long start, unsigned long len,
		  int behavior);
void gmem_advice_forked(struct mm_struct *mm, struct mm_struct *oldmm,
			unsigned long start, unsigned long end);
void gmem_node_usage(int nid, unsigned long *total, unsigned long *free);
void gmem_node_stats(int nid, struct gm_dev_stats *stats);
int gmem_prefetch(struct mm_struct *mm, int hnid, unsigned long start,
		  unsigned long len);

#endif /* _LINUX_GMEM_CORE_H */
