#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Hints through libgmem's C interface, and what libgmem and "gmem info" say of them.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there gmem python3 modprobe
modprobe npu_stub 2>/dev/null
library=/opt/gmem/lib/libgmem.so

cat >"$work/hint.py" <<'PY'
import ctypes
import os
import subprocess
import sys

PREFER, PREFER_NONE, READ_MOSTLY, NOT_READ_MOSTLY = 1, 2, 3, 4
ACCESSED_BY, NOT_ACCESSED_BY, PIN, UNPIN = 5, 6, 7, 8
BLOCK = 2 << 20


class Attributes(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_size_t),
        ("end", ctypes.c_size_t),
        ("accessed_by", ctypes.c_uint64),
        ("preferred", ctypes.c_int32),
        ("pinned", ctypes.c_int32),
        ("read_mostly", ctypes.c_int32),
        ("pad", ctypes.c_int32),
    ]


gmem = ctypes.CDLL(sys.argv[1])
gmem.gmem_alloc.restype = ctypes.c_void_p
gmem.gmem_alloc.argtypes = [ctypes.c_size_t]
gmem.gmem_advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int]
gmem.gmem_attributes_at.argtypes = [ctypes.c_void_p, ctypes.POINTER(Attributes)]
buffer = gmem.gmem_alloc(2 * BLOCK)
node = int(sys.argv[2])


def advise(offset, size, hint, node=-1):
    return gmem.gmem_advise(buffer + offset, size, hint, node)


def ask(offset):
    found = Attributes()
    error = gmem.gmem_attributes_at(buffer + offset, ctypes.byref(found))
    return error or (
        found.start - buffer,
        found.end - buffer,
        found.preferred,
        found.accessed_by,
        found.pinned,
        found.read_mostly,
    )


def expect(what, seen, wanted):
    print("ok" if seen == wanted else "not ok", what, "" if seen == wanted else f"{seen} {wanted}")


expect("nothing advised", ask(0), -2)
expect("a hint is taken", advise(0, BLOCK, PREFER, node), 0)
expect("one more", advise(4096, 1, ACCESSED_BY, node), 0)
expect("for some pages", advise(4096, 8192, READ_MOSTLY), 0)
expect("the first page", ask(0), (0, 4096, node, 0, -1, 0))
expect("the second page", ask(4096), (4096, 8192, node, 1 << node, -1, 1))
expect("the third page", ask(8192), (8192, 12288, node, 0, -1, 1))
expect("the rest", ask(BLOCK - 1), (12288, BLOCK, node, 0, -1, 0))
expect("behind it", ask(BLOCK), -2)
text = subprocess.run(
    ["gmem", "info", "--pid", str(os.getpid())], capture_output=True, text=True, check=True
).stdout
expect(
    "gmem info",
    f"{buffer + 4096:x}-{buffer + 8192:x} prefers {node} accessed by {node} read mostly" in text,
    True,
)
expect("no device, no pin", advise(0, BLOCK, PIN, node), -19)
expect("no such hint", advise(0, BLOCK, 9, node), -22)
for hint in (PREFER_NONE, NOT_READ_MOSTLY):
    expect("a hint ends", advise(0, BLOCK, hint), 0)
expect("one more ends", advise(0, BLOCK, NOT_ACCESSED_BY, node), 0)
expect("nothing is left", ask(4096), -2)
fd = os.open(sys.argv[3], os.O_RDWR)
expect("a pin", advise(0, BLOCK, PIN, node), 0)
expect("is seen", ask(0), (0, BLOCK, -1, 0, node, 0))
expect("and ends", advise(0, BLOCK, UNPIN), 0)
expect("without a trace", ask(0), -2)
PY

path=/dev/accel/npu0
[ -e $path ] || path=/dev/npu0
node=$(gmem info --json | sed -n 's/.*"node": \([0-9]*\).*/\1/p' | head -n 1)
python3 "$work/hint.py" "$library" "$node" $path >"$work/out" 2>"$work/err"
result "the program ends well" test $? -eq 0
show "$work/err"
while read -r line; do
	case $line in
	"ok "*) result "${line#ok }" true ;;
	*) result "${line#not ok }" false ;;
	esac
done <"$work/out"
result "every step was seen" test "$(wc -l <"$work/out")" -eq 20
finish
