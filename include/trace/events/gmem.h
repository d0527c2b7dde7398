/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM gmem

#if !defined(_TRACE_GMEM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_GMEM_H

#include <linux/tracepoint.h>

/**
 * gmem_fault - a request of a device ended
 * @dev: device, the number at the end of its debugfs directory
 * @addr: first address, in bytes
 * @len: length of the range, in bytes
 * @access: what was asked for: GM_ACCESS_READ, GM_ACCESS_WRITE
 * @ret: 0 or a negative errno
 */
TRACE_EVENT(gmem_fault,
	TP_PROTO(unsigned int dev, unsigned long addr, unsigned long len,
		 unsigned int access, int ret),
	TP_ARGS(dev, addr, len, access, ret),
	TP_STRUCT__entry(
		__field(unsigned int, dev)
		__field(unsigned long, addr)
		__field(unsigned long, len)
		__field(unsigned int, access)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->addr = addr;
		__entry->len = len;
		__entry->access = access;
		__entry->ret = ret;
	),
	TP_printk("dev=%u addr=0x%lx len=%lu access=%s ret=%d", __entry->dev,
		  __entry->addr, __entry->len,
		  __entry->access & 2 ? "write" : "read", __entry->ret)
);

/**
 * gmem_used - a device had used memory since it was asked last
 * @dev: device
 * @addr: first address, in bytes
 * @len: length of the range, in bytes
 *
 * A device is asked before the memory would leave it.  Nobody sees single uses.
 */
TRACE_EVENT(gmem_used,
	TP_PROTO(unsigned int dev, unsigned long addr, unsigned long len),
	TP_ARGS(dev, addr, len),
	TP_STRUCT__entry(
		__field(unsigned int, dev)
		__field(unsigned long, addr)
		__field(unsigned long, len)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->addr = addr;
		__entry->len = len;
	),
	TP_printk("dev=%u addr=0x%lx len=%lu", __entry->dev, __entry->addr,
		  __entry->len)
);

/**
 * gmem_migrate - pages migrated to a device or to the host
 * @dev: device
 * @to_device: true for to the device, copied or filled with zeroes
 * @addr: first address of the range that was asked for, in bytes
 * @pages: how many base pages of it migrated
 *
 * An eviction knows page frames only: @addr is where a device mapped the pages
 * last, or 0, and gmem_evict follows.
 */
TRACE_EVENT(gmem_migrate,
	TP_PROTO(unsigned int dev, bool to_device, unsigned long addr,
		 unsigned long pages),
	TP_ARGS(dev, to_device, addr, pages),
	TP_STRUCT__entry(
		__field(unsigned int, dev)
		__field(bool, to_device)
		__field(unsigned long, addr)
		__field(unsigned long, pages)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->to_device = to_device;
		__entry->addr = addr;
		__entry->pages = pages;
	),
	TP_printk("dev=%u %s addr=0x%lx pages=%lu", __entry->dev,
		  __entry->to_device ? "to_device" : "to_host", __entry->addr,
		  __entry->pages)
);

/**
 * gmem_invalidate - devices lost what they mapped of a range
 * @start: first address, in bytes
 * @end: one past the last address, in bytes
 * @contexts: mask of the contexts of the process that mapped some of it
 */
TRACE_EVENT(gmem_invalidate,
	TP_PROTO(unsigned long start, unsigned long end, unsigned int contexts),
	TP_ARGS(start, end, contexts),
	TP_STRUCT__entry(
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, contexts)
	),
	TP_fast_assign(
		__entry->start = start;
		__entry->end = end;
		__entry->contexts = contexts;
	),
	TP_printk("start=0x%lx end=0x%lx contexts=0x%x", __entry->start,
		  __entry->end, __entry->contexts)
);

/**
 * gmem_evict - an attempt to empty a chunk of 2 MiB or a run of 64 KiB
 * @dev: device
 * @page: first page, as an offset in the device memory
 * @pages: how many base pages left
 * @ret: 0 or a negative errno
 */
TRACE_EVENT(gmem_evict,
	TP_PROTO(unsigned int dev, unsigned long page, unsigned long pages,
		 int ret),
	TP_ARGS(dev, page, pages, ret),
	TP_STRUCT__entry(
		__field(unsigned int, dev)
		__field(unsigned long, page)
		__field(unsigned long, pages)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->page = page;
		__entry->pages = pages;
		__entry->ret = ret;
	),
	TP_printk("dev=%u page=%lu pages=%lu ret=%d", __entry->dev,
		  __entry->page, __entry->pages, __entry->ret)
);

#endif /* _TRACE_GMEM_H */

#include <trace/define_trace.h>
