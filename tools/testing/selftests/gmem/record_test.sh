#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# gmem record sees what devices do, gmem sim replays it, and what a program noted.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there gmem modprobe awk
modprobe npu_stub 2>/dev/null
size=1.5
[ -z "$GMEM_TEST_SMALL" ] || size=1.1

lines() {
	awk -v k="$1" '$2 == k { n++ } END { print n + 0 }' "$work/trace"
}

# ratio POLICY: of the last simulation.
ratio() {
	awk -v k="$1" '$2 == k { print $(NF - 1) }' "$work/sim"
}

mkdir "$work/traces"
gmem record -o "$work/trace" gmem bench oversub --patterns loop --sizes $size \
	--traces "$work/traces" >"$work/out" 2>"$work/err"
result "a benchmark is recorded" test $? -eq 0
show "$work/err"
result "the trace says what it is" grep -qx '# gmem trace 1' "$work/trace"
result "and how large the device is" grep -q '^memory [0-9]* [0-9]*$' "$work/trace"
result "there are faults ($(lines fault))" test "$(lines fault)" -gt 100
result "moves ($(lines migrate))" test "$(lines migrate)" -gt 100
result "evictions ($(lines evict))" test "$(lines evict)" -gt 10
result "and uses that the device told of ($(lines used))" test "$(lines used)" -gt 0
device=$(awk '$2 == "fault" { print $3; exit }' "$work/trace")
gmem sim "$work/trace" --device "$device" >"$work/sim"
result "it can be replayed" test $? -eq 0
show "$work/sim"

# What the benchmark noted is exact: a loop, in which LRU is as bad as FIFO.
gmem sim "$work/traces/loop-$size.trace" >"$work/sim"
result "so can what the benchmark noted" test $? -eq 0
show "$work/sim"
result "Belady's ratio is 1 ($(ratio belady))" test "$(ratio belady)" = 1.00
result "LRU and FIFO agree on a loop" test "$(ratio lru)" = "$(ratio fifo)"
result "and move much more than ours ($(ratio ours))" \
	awk -v a="$(ratio ours)" -v b="$(ratio lru)" 'BEGIN { exit !(a * 1.4 < b) }'

gmem record -o "$work/trace" sh -c 'exit 7' 2>/dev/null
result "the program's status is passed on" test $? -eq 7
gmem record -o "$work/trace" /nonexistent 2>"$work/err"
result "a program that is not there is named" grep -q 'cannot run /nonexistent' "$work/err"
left=$(ls -d /sys/kernel/tracing/instances/gmem-* 2>/dev/null)
result "no buffer is left behind" test -z "$left"
finish
