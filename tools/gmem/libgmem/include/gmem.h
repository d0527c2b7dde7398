/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * libgmem: one pointer for the CPU and every accelerator.
 *
 * Made from libgmem/src/capi by cbindgen; do not edit.  Functions return 0 or a
 * negative errno if not said otherwise.
 */

#ifndef GMEM_H
#define GMEM_H

#include <stddef.h>
#include <stdint.h>

/*
 Flag of an NPU: it replays faults.
 */
#define GMEM_NPU_FAULTS 1

/*
 Bytes at `dst` become the low byte of `arg[0]`.
 */
#define GMEM_OP_FILL 1

/*
 Bytes from `src0` to `dst`.
 */
#define GMEM_OP_COPY 2

/*
 u32 `dst[i] = src0[i] + src1[i]`.
 */
#define GMEM_OP_VADD 3

/*
 int8 `dst[m][n] = clamp((src0[m][k] * src1[k][n]) >> shift)`, int32 sums;
 `arg[0] = m | n << 16 | k << 32 | shift << 48`.
 */
#define GMEM_OP_GEMM 4

/*
 u32 `dst[i] = src0[src1[i]]`; `len` is that of `dst`, `arg[0]` the elements of `src0`.
 */
#define GMEM_OP_GATHER 5

/*
 u64 `dst[256] +=` counts of the bytes at `src0`.
 */
#define GMEM_OP_HISTOGRAM 6

/*
 u64 at `dst += arg[0]`, `arg[1]` times.
 */
#define GMEM_OP_ATOMIC_ADD 7

/*
 Read and throw away.
 */
#define GMEM_OP_READ 8

/*
 Stay busy for `arg[0]` microseconds.
 */
#define GMEM_OP_NOP 9

/*
 Hint: faults place the range on the node; 0 keeps it in host memory.
 */
#define GMEM_PREFER 1

/*
 Hint: no node is preferred.
 */
#define GMEM_PREFER_NONE 2

/*
 Hint: the range is read much more than written.
 */
#define GMEM_READ_MOSTLY 3

/*
 Hint: it is not.
 */
#define GMEM_NOT_READ_MOSTLY 4

/*
 Hint: the node's device uses the range where it is.
 */
#define GMEM_ACCESSED_BY 5

/*
 Hint: it does not.
 */
#define GMEM_NOT_ACCESSED_BY 6

/*
 Hint: keep room for the range on the node's device, and move it there.
 */
#define GMEM_PIN 7

/*
 Hint: keep no room on any device.
 */
#define GMEM_UNPIN 8

/*
 What the kernel keeps of the hints about a range.
 */
struct gmem_attributes {
  /*
   The first address of the range.
   */
  size_t start;
  /*
   The address after the last.
   */
  size_t end;
  /*
   Nodes of devices that use the range where it is: bit n is node n.
   */
  uint64_t accessed_by;
  /*
   The preferred node, -1 for none.
   */
  int32_t preferred;
  /*
   The node that keeps room for it, -1 for none.
   */
  int32_t pinned;
  /*
   1 if it is read much more than written.
   */
  int32_t read_mostly;
  /*
   Zero.
   */
  int32_t pad;
};

/*
 `struct npu_info`: what an NPU is and what it has done.
 */
struct gmem_npu_info {
  /*
   Version of the driver's ABI.
   */
  uint32_t version;
  /*
   Number of the NPU.
   */
  uint32_t index;
  /*
   Heterogeneous node of its memory, -1 without memory.
   */
  int32_t hnid;
  /*
   What it can do.
   */
  uint32_t flags;
  /*
   Bytes of NPU memory.
   */
  uint64_t mem_total;
  /*
   Bytes not in use now.
   */
  uint64_t mem_free;
  /*
   Width of the NPU's virtual addresses.
   */
  uint32_t va_bits;
  /*
   Jobs one file may have queued or running.
   */
  uint32_t max_jobs;
  /*
   Commands one job may have.
   */
  uint32_t max_cmds;
  /*
   Zero.
   */
  uint32_t pad;
  /*
   Device faults that did work.
   */
  uint64_t faults;
  /*
   Bytes moved to the device.
   */
  uint64_t to_dev;
  /*
   Bytes moved from the device.
   */
  uint64_t from_dev;
  /*
   Bytes zero-filled on the device.
   */
  uint64_t zeroed;
  /*
   Bytes of `to_dev` that came from another device.
   */
  uint64_t peer;
  /*
   Bytes of `from_dev` that left to make room.
   */
  uint64_t evicted;
  /*
   Invalidations that removed an entry.
   */
  uint64_t invalidated;
  /*
   Bytes mapped remotely.
   */
  uint64_t remote;
  /*
   Jobs of this file queued or running now.
   */
  uint64_t jobs_running;
  /*
   Jobs of this file completed.
   */
  uint64_t jobs_done;
};

/*
 `struct npu_cmd`: one command.
 */
struct gmem_npu_cmd {
  /*
   The operation.
   */
  uint32_t op;
  /*
   Zero.
   */
  uint32_t flags;
  /*
   Destination address.
   */
  uint64_t dst;
  /*
   First source.
   */
  uint64_t src0;
  /*
   Second source.
   */
  uint64_t src1;
  /*
   Length in bytes.
   */
  uint64_t len;
  /*
   See the operation.
   */
  uint64_t arg[2];
};

/*
 `struct npu_wait`: the result of a job.
 */
struct gmem_npu_result {
  /*
   The job.
   */
  uint64_t job;
  /*
   Nanoseconds; 0 polls, negative waits for ever.
   */
  int64_t timeout_ns;
  /*
   Zero or a negative errno.
   */
  int32_t status;
  /*
   Index of the command that failed.
   */
  uint32_t cmd;
  /*
   The faulting address, or 0.
   */
  uint64_t fault_addr;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Advises about the pages that hold the range.

 Where a hint needs no node, it is ignored.
 */
int gmem_advise(const void *addr, size_t size, int which, int node);

/*
 Asks what the kernel keeps of the hints about an address; -ENOENT when there is
 nothing. It reads debugfs, which by default needs root.

 # Safety

 `out` is NULL or points to memory for the answer.
 */
int gmem_attributes_at(const void *addr, struct gmem_attributes *out);

/*
 1 if this kernel has GMEM and it is switched on, else 0.

 Without it all memory functions work on plain memory.
 */
int gmem_available(void);

/*
 Zeroed memory for the CPU and all devices; NULL with errno when there is none.

 A page and more starts at a page, 2 MiB and more at a multiple of 2 MiB.
 */
void *gmem_alloc(size_t size);

/*
 Gives memory of gmem_alloc() back; NULL does nothing.

 # Safety

 `memory` is NULL or came from gmem_alloc(), and no job works on it.
 */
void gmem_free(void *memory);

/*
 Moves the pages that hold the range to a node: a device's, or 0 for home.

 On success all of them were there, and mapped, at some instant of the call.
 */
int gmem_prefetch(const void *addr, size_t size, int node);

/*
 Frees the whole pages inside the range; they read as zero then.

 # Safety

 The range belongs to the caller.
 */
int gmem_free_eager(void *addr, size_t size);

/*
 All of a file, to read, for the CPU and all devices; NULL with errno when it cannot be had.

 It is read mostly: devices that read it keep copies.  Its size is stored in `size`.  An empty
 file has an address, too.

 # Safety

 `size` is valid to write; nobody writes to the file or truncates it while it is mapped.
 */
const void *gmem_map_file(int fd, size_t *size);

/*
 Unmaps what gmem_map_file() returned; NULL does nothing.

 # Safety

 Address and size are those of gmem_map_file(), and no job works on the file.
 */
void gmem_unmap_file(const void *map, size_t size);

/*
 What an error of this library (negative or positive errno) means and what to do
 about it.  Never NULL; the text is static.
 */
const char *gmem_strerror(int error);

/*
 How many NPUs there are.
 */
int gmem_npu_count(void);

/*
 Opens NPU number `index`; returns a file descriptor, to be closed with close(2).
 */
int gmem_npu_open(int index);

/*
 What the NPU is and has done.

 # Safety

 `info` can be written.
 */
int gmem_npu_info(int npu, struct gmem_npu_info *info);

/*
 Queues `count` commands, which run in order.  `*job` names them for
 gmem_npu_wait(); `eventfd` is signalled at the end, or -1.

 # Safety

 `cmds` holds `count` commands, `job` can be written, and the memory that the
 commands name is left alone until the end.
 */
int gmem_npu_submit(int npu,
                    const struct gmem_npu_cmd *cmds,
                    size_t count,
                    int eventfd,
                    uint64_t *job);

/*
 Waits for a job and takes its result; `timeout_ns` 0 polls, negative waits for
 ever.  Returns 0, -ETIME while it runs, or why it failed; then `*result`, if
 not NULL, says which command and address.

 # Safety

 `result` is NULL or can be written.
 */
int gmem_npu_wait(int npu, uint64_t job, int64_t timeout_ns, struct gmem_npu_result *result);

/*
 Queues commands and waits for their end, as gmem_npu_submit() and
 gmem_npu_wait() do.

 # Safety

 As for both.
 */
int gmem_npu_run(int npu,
                 const struct gmem_npu_cmd *cmds,
                 size_t count,
                 struct gmem_npu_result *result);

/*
 Moves the pages that hold the range to node `hnid`.  `stream` must be NULL:
 the call is synchronous.
 */
int gmemPrefetch(unsigned long addr, size_t size, int hnid, void *stream);

/*
 Frees the whole pages inside the range; they read as zero then.  `stream` must
 be NULL: the call is synchronous.

 # Safety

 The range belongs to the caller.
 */
int gmemFreeEager(unsigned long addr, size_t size, void *stream);

/*
 The node of the first device's memory, for gmemPrefetch().
 */
int gmemGetNumaId(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GMEM_H */
