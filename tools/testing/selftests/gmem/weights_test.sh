#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A file that is mapped through libgmem, from C, and read by an NPU again and again.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there gmem python3 modprobe
modprobe npu_stub 2>/dev/null

cat >"$work/map.py" <<'PY'
import ctypes
import errno
import os
import sys

gmem = ctypes.CDLL(sys.argv[1], use_errno=True)
gmem.gmem_map_file.restype = ctypes.c_void_p
gmem.gmem_map_file.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_size_t)]
gmem.gmem_unmap_file.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
path = sys.argv[2]
with open(path, "wb") as file:
    file.write(bytes(range(256)) * 1024)
fd = os.open(path, os.O_RDONLY)
size = ctypes.c_size_t()
at = gmem.gmem_map_file(fd, ctypes.byref(size))
assert at and size.value == 256 * 1024, size
assert ctypes.string_at(at, size.value) == bytes(range(256)) * 1024
with open("/sys/kernel/debug/gmem/attributes") as advised:
    text = advised.read()
assert f"{os.getpid()} {at:x}-{at + size.value:x} read_mostly" in text, text
gmem.gmem_unmap_file(at, size.value)
with open("/sys/kernel/debug/gmem/attributes") as advised:
    assert str(os.getpid()) not in [line.split()[0] for line in advised]
for bad, wanted in ((-1, errno.EBADF), (os.open("/", os.O_RDONLY), errno.ENODEV)):
    assert gmem.gmem_map_file(bad, ctypes.byref(size)) is None
    assert ctypes.get_errno() == wanted, ctypes.get_errno()
PY
result "a file is mapped, read mostly, and unmapped" \
	python3 "$work/map.py" /opt/gmem/lib/libgmem.so "$work/file" 2>"$work/err"
show "$work/err"

# field WAY NAME: a number of the report.
field() {
	python3 -c 'import json, sys
rows = {row["way"]: row for row in json.load(open(sys.argv[1]))["rows"]}
print(rows[sys.argv[2]][sys.argv[3]])' "$work/json" "$1" "$2"
}

gmem bench weights --size 4M --rounds 2 --json "$work/json" >"$work/out" 2>&1
result "the benchmark of files runs" test $? -eq 0
show "$work/out"
size=$((4 << 20))
for way in "mapped, read mostly" "read into memory"; do
	result "$way: copied once" test "$(field "$way" copied)" -eq $size
	result "$way: not moved again" test "$(field "$way" moved_later)" -eq 0
	result "$way: nothing remote" test "$(field "$way" remote)" -eq 0
done
way="mapped, used where it is"
result "$way: not copied" test "$(field "$way" copied)" -eq 0
result "$way: all of it remote" test "$(field "$way" remote)" -eq $size
result "a file that is too large is refused" \
	sh -c "! gmem bench weights --size 1G --rounds 1 >'$work/out' 2>&1"
result "and the message says what to do" grep -q "half the memory or less" "$work/out"
finish
