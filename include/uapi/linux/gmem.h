/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_GMEM_H
#define _UAPI_LINUX_GMEM_H

/*
 * Behaviours of hmadvise(2):
 *
 *   long hmadvise(int hnid, unsigned long start, size_t len, int behavior);
 *
 * MADV_DONTNEED (4, <asm/mman.h>) is accepted too.
 */
/* Move the range to the node and map it there. */
#define MADV_PREFETCH		0x1000

/*
 * A pin: move the range to the device and keep room for it there until
 * MADV_UNPINNED (-1: on whichever device), munmap or exit.  It is not evicted;
 * when the CPU takes a page home its room stays.  Not inherited by fork.
 */
#define MADV_PINNED		0x1001
#define MADV_UNPINNED		0x1002

/*
 * Attributes of the range.  They follow mremap, are inherited by fork and go
 * with munmap and exec.
 *
 * PREFERRED_NODE: faults of devices place the range on this node; a CPU node
 * means that it stays in host memory.  NO_: with -1 whichever node it was.
 * READ_MOSTLY: read much more than written.  The node does not matter.
 * ACCESSED_BY: the device maps the range where it is, rather than moving it.
 * NO_: with -1 for all devices.
 */
#define MADV_PREFERRED_NODE	0x1003
#define MADV_NO_PREFERRED_NODE	0x1004
#define MADV_READ_MOSTLY	0x1005
#define MADV_NO_READ_MOSTLY	0x1006
#define MADV_ACCESSED_BY	0x1007
#define MADV_NO_ACCESSED_BY	0x1008

#endif /* _UAPI_LINUX_GMEM_H */
