#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The malloc family in peer-shared memory under ordinary programs, with the heap
# being moved to a device and home again.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there python3 sort ls gzip sha256sum
if [ ! -e "$preload" ]; then
	echo "1..0 # SKIP no $preload"
	exit 4
fi

seq 1 20000 | awk '{ print ($1 * 7919) % 100003, $1 }' >"$work/in"
before=$(vmstat gmem_to_device)

# same NAME SHELL-COMMAND: equal output with and without the preload.
same() {
	sh -c "$2" >"$work/plain" 2>&1
	plain=$?
	LD_PRELOAD=$preload GMEM_RUN_SHUFFLE_MS=5 \
		timeout 120 sh -c "$2" >"$work/gmem" 2>&1
	gmem=$?
	result "$1: exit status ($gmem)" test "$gmem" -eq "$plain"
	result "$1: output equal" cmp "$work/plain" "$work/gmem"
}

same ls "ls -lR /etc/default"
same sort "sort -n --parallel=2 -S 4M $work/in"
same pipeline "gzip -c $work/in | gzip -dc | sort -k2n | sha256sum"

# fork, threads, and every entry point that python reaches through ctypes.
cat >"$work/family.py" <<'PY'
import ctypes
import errno
import os
import threading

c = ctypes.CDLL(None, use_errno=True)
p = ctypes.c_void_p
for f in ("malloc", "calloc", "realloc", "memalign", "aligned_alloc", "valloc", "reallocarray"):
    getattr(c, f).restype = p
c.malloc_usable_size.restype = ctypes.c_size_t
size = ctypes.c_size_t


def check(pointer, length, align):
    assert pointer and pointer % align == 0
    assert c.malloc_usable_size(p(pointer)) >= length
    ctypes.memset(pointer, 0xA7, length)
    return pointer


def family():
    for n in (1, 24, 4096, 70000, 3 << 20):
        a = check(c.malloc(size(n)), n, 16)
        a = c.realloc(p(a), size(n * 3))
        assert ctypes.string_at(a, n) == b"\xa7" * n
        c.free(p(a))
        z = c.calloc(size(n), size(2))
        assert ctypes.string_at(z, n * 2) == bytes(n * 2)
        c.free(p(z))
        for align in (64, 4096, 1 << 16):
            c.free(p(check(c.memalign(size(align), size(n)), n, align)))
            c.free(p(check(c.aligned_alloc(size(align), size(n)), n, align)))
            out = p()
            assert c.posix_memalign(ctypes.byref(out), size(align), size(n)) == 0
            c.free(p(check(out.value, n, align)))
        c.free(p(check(c.valloc(size(n)), n, 4096)))
    assert c.posix_memalign(ctypes.byref(p()), size(3), size(8)) == errno.EINVAL
    assert not c.calloc(size(1 << 62), size(8))
    assert not c.reallocarray(None, size(1 << 62), size(8))
    c.free(None)


threads = [threading.Thread(target=family) for _ in range(2)]
[t.start() for t in threads]
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        family()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
[t.join() for t in threads]
print("family ok")
PY
same "malloc family" "python3 $work/family.py"
result "the family test ran to its end" grep -q "family ok" "$work/gmem"

moved() {
	[ "$(vmstat gmem_to_device)" -gt "$before" ]
}
result "heaps moved to a device meanwhile" moved
finish
