/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * npu_stub: the sample accelerator of GMEM.
 *
 * Each NPU is a character device.  The opener's address space is the NPU's
 * address space: all addresses below are ordinary pointers of the process.
 */
#ifndef _UAPI_DRM_NPU_STUB_H
#define _UAPI_DRM_NPU_STUB_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define NPU_STUB_ABI_VERSION	1

/* struct npu_info.flags */
#define NPU_INFO_FAULTS		(1 << 0)	/* the NPU replays faults */

/**
 * struct npu_info - NPU_IOC_INFO
 * @version: NPU_STUB_ABI_VERSION
 * @index: number of the NPU
 * @hnid: heterogeneous node of its memory, for hmadvise(2); -1 without memory
 * @flags: NPU_INFO_*
 * @mem_total: bytes of NPU memory
 * @mem_free: bytes not in use now
 * @va_bits: width of the NPU's virtual addresses
 * @max_jobs: jobs one file may have queued or running
 * @max_cmds: commands one job may have
 * @faults: counters of the device, see struct gm_dev_stats
 * @to_dev: bytes moved to the device
 * @from_dev: bytes moved from the device
 * @zeroed: bytes zero-filled
 * @peer: bytes of @to_dev that came from another device
 * @evicted: bytes of @from_dev that left to make room
 * @invalidated: invalidations
 * @remote: bytes mapped remotely
 * @jobs_running: jobs of this file queued or running now
 * @jobs_done: jobs of this file completed
 */
struct npu_info {
	__u32 version;
	__u32 index;
	__s32 hnid;
	__u32 flags;
	__u64 mem_total;
	__u64 mem_free;
	__u32 va_bits;
	__u32 max_jobs;
	__u32 max_cmds;
	__u32 pad;
	__u64 faults;
	__u64 to_dev;
	__u64 from_dev;
	__u64 zeroed;
	__u64 peer;
	__u64 evicted;
	__u64 invalidated;
	__u64 remote;
	__u64 jobs_running;
	__u64 jobs_done;
};

/*
 * struct npu_cmd.op; unused fields must be 0
 *
 * GEMM: arg[0] = m | n << 16 | k << 32 | shift << 48, len = 0; accumulates in
 * s32, rounds to nearest (adds half, ties go up), shifts arithmetically and
 * clamps to [-128, 127].
 * GATHER: src1 = u32 index[], len = bytes of dst, arg[0] = elements in src0.
 */
#define NPU_OP_FILL		1	/* len bytes at dst = arg[0] & 0xff */
#define NPU_OP_COPY		2	/* len bytes src0 -> dst, not overlapping */
#define NPU_OP_VADD		3	/* u32 dst[i] = src0[i] + src1[i], len bytes each */
#define NPU_OP_GEMM		4	/* s8 dst[m][n] = src0[m][k] * src1[k][n] >> shift */
#define NPU_OP_GATHER		5	/* u32 dst[i] = src0[src1[i]] */
#define NPU_OP_HISTOGRAM	6	/* u64 dst[256] += counts of the len bytes at src0 */
#define NPU_OP_ATOMIC_ADD	7	/* u64 at dst += arg[0], arg[1] times, one by one */
#define NPU_OP_READ		8	/* read len bytes at src0, throw them away */
#define NPU_OP_NOP		9	/* stay busy for arg[0] microseconds (at most 10 s) */

/**
 * struct npu_cmd - one command
 * @op: NPU_OP_*
 * @flags: 0
 * @dst: destination address
 * @src0: first source
 * @src1: second source
 * @len: length in bytes
 * @arg: see the operation
 */
struct npu_cmd {
	__u32 op;
	__u32 flags;
	__u64 dst;
	__u64 src0;
	__u64 src1;
	__u64 len;
	__u64 arg[2];
};

/**
 * struct npu_submit - NPU_IOC_SUBMIT: queue a batch, run in order
 * @cmds: address of the array of struct npu_cmd
 * @nr_cmds: its length, 1 .. npu_info.max_cmds
 * @eventfd: an eventfd that is signalled when the job is complete, or -1
 * @job: out: number of the job, unique in this file, never 0
 *
 * Errors: EINVAL (a command is malformed: bad operation, unused field not 0,
 * range overflow), EFAULT (@cmds not readable), EBADF, EAGAIN (max_jobs queued),
 * ENOMEM, ENODEV (unplugged), EPERM (not the opener's address space).
 */
struct npu_submit {
	__u64 cmds;
	__u32 nr_cmds;
	__s32 eventfd;
	__u64 job;
};

/**
 * struct npu_wait - NPU_IOC_WAIT: wait for a job and take its result
 * @job: the job
 * @timeout_ns: nanoseconds; 0 polls, negative waits for ever
 * @status: out: 0 or a negative errno of the job: -EFAULT bad address, -ENOMEM,
 *	-ENODEV unplugged, -ECANCELED, -EIO copy or device failure
 * @cmd: out: index of the command that failed
 * @fault_addr: out: the faulting address of -EFAULT, else 0
 *
 * A result is taken once: a second wait for the same job is ENOENT.  Errors:
 * ENOENT (no such job), ETIME (not complete in time), EINTR, EFAULT.
 */
struct npu_wait {
	__u64 job;
	__s64 timeout_ns;
	__s32 status;
	__u32 cmd;
	__u64 fault_addr;
};

#define NPU_IOC_MAGIC	'N'
#define NPU_IOC_INFO	_IOR(NPU_IOC_MAGIC, 0x40, struct npu_info)
#define NPU_IOC_SUBMIT	_IOWR(NPU_IOC_MAGIC, 0x41, struct npu_submit)
#define NPU_IOC_WAIT	_IOWR(NPU_IOC_MAGIC, 0x42, struct npu_wait)

#endif /* _UAPI_DRM_NPU_STUB_H */
