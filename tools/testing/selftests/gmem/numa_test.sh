#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Unmodified programs see and steer device memory: numactl, numastat, lstopo,
# migratepages, and files of sysfs and proc.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there gmem numactl numastat migratepages lstopo-no-graphics

mib=32
rmmod npu_stub 2>/dev/null
modprobe npu_stub count=2 mem_mib=$mib bandwidth=2000 latency_us=1 || exit 1
trap 'rm -rf "$work"; rmmod npu_stub 2>/dev/null; modprobe npu_stub' EXIT

# Two nodes without CPUs, behind the CPUs' nodes.
sys=/sys/devices/system/node
hetero=$(cat $sys/has_hetero_memory)
first=${hetero%%[-,]*}
second=$((first + 1))
result "two device nodes" test "$hetero" = "$first-$second"

# hardware NODE WORD: a number of numactl -H.
hardware() {
	numactl -H | sed -n "s/^node $1 $2: \([0-9]*\) MB/\1/p"
}

for n in $first $second; do
	result "numactl -H: size of node $n" test "$(hardware "$n" size)" = $mib
	result "numactl -H: free of node $n" test "$(hardware "$n" free)" = $mib
	cpus=$(numactl -H | sed -n "s/^node $n cpus: *//p")
	result "numactl -H: node $n has no CPUs" test -z "$cpus"
done
lstopo-no-graphics --of console >"$work/topology" 2>/dev/null
result "lstopo: node $first" grep -q "NUMANode.*P#$first.*${mib}MB" "$work/topology"
result "lstopo: node $second" grep -q "NUMANode.*P#$second.*${mib}MB" "$work/topology"
speed=$sys/node$first/access0/initiators
result "bandwidth in sysfs" test "$(cat "$speed"/read_bandwidth)" = 2000
result "latency in sysfs" test "$(cat "$speed"/read_latency)" = 1000

# A process with 16 MiB on the first node, told what to do through a pipe.
mkfifo "$work/in" "$work/out"
"$here/hold" 16 <"$work/in" >"$work/out" &
exec 5>"$work/in" 6<"$work/out"
read -r pid <&6

# tell COMMAND: what the process answers.
tell() {
	echo "$*" >&5
	read -r answer <&6
	echo "$answer"
}

# used NODE: kB of the process on a node, of all lines of numa_maps.
used() {
	key="s/.* N$1=\([0-9]*\) .*kernelpagesize_kB=\([0-9]*\).*/\1 \2/p"
	sed -n "$key" "/proc/$pid/numa_maps" |
		awk '{ kb += $1 * $2 } END { print kb + 0 }'
}

# in_use NODE: kB that GMEM says are in use.
in_use() {
	awk '$3 == "MemUsed:" { print $4 }' "$sys/node$1/meminfo"
}

# numastat_mib NODE: the process's MB on a node, whose column the heading tells.
numastat_mib() {
	numastat -p "$pid" | awk '
		/Node [0-9]/ { for (c = 0; match($0, /Node [0-9]+/); c++) {
			col[substr($0, RSTART + 5, RLENGTH - 5)] = c
			$0 = substr($0, RSTART + RLENGTH) } next }
		/^Total/ { split($0, f); v = f[2 + col['"$1"']] }
		END { print int(v + 0.5) }'
}

agree() {
	result "$1: numa_maps" test "$(used "$first")" = "$2"
	result "$1: meminfo" test "$(in_use "$first")" = "$2"
	result "$1: numastat -p" test "$(numastat_mib "$first")" = $(($2 / 1024))
}

agree "on the device" 16384
result "the CPU touches a block" test "$(tell touch 2048)" = touched
agree "after a touch" 14336
tell use >/dev/null
agree "back again" 16384

# Every page of it goes home, and back.
migratepages "$pid" "$first" 0
result "migratepages home" test "$(used "$first")" = 0
result "its node is the CPU's" test "$(tell node)" = 0
migratepages "$pid" 0 "$first"
agree "migratepages to the device" 16384
result "its node is the device's" test "$(tell node)" = "$first"
result "the bytes are right" test "$(tell check)" = intact
echo quit >&5
wait $!
exec 5>&- 6<&-

# count NPU KEY: a counter of a device.
count() {
	awk -v k="$2" '$1 == k { print $2 }' /sys/kernel/debug/gmem/npu"$1"-*/stats
}

# demo NAME NUMACTL-ARGS...: runs the demo under numactl. It also wants both devices to be used and
# full, which a policy may forbid: what counts here is that no result was wrong.
demo() {
	name=$1
	shift
	before0=$(count 0 to_dev) before1=$(count 1 to_dev)
	timeout 200 numactl "$@" gmem demo --json --bytes 8M --input "$work/text" \
		>"$work/demo" 2>"$work/log"
	to0=$(($(count 0 to_dev) - before0)) to1=$(($(count 1 to_dev) - before1))
	checks=$(sed -n 's/.*"checks": \([0-9]*\).*/\1/p' "$work/demo")
	wrong=$(sed -n '/"failures"/,/\]/p' "$work/demo" | grep '^ *"' |
		grep -vcE '"failures"|received .*, not more than its|nothing was evicted')
	tail -n 1 "$work/log" | sed "s/^/# $name: /"
	echo "# $name: ${checks:-no} results, $wrong wrong"
	echo "# $name: bytes to node $first: $to0, to node $second: $to1"
	result "$name: right results" test "${checks:-0}" -gt 100 -a "$wrong" = 0
}

mkdir "$work/text"
i=0
while [ $i -lt 40 ]; do
	seq $((i * 40000)) $((i * 40000 + 40000)) >"$work/text/$i.txt"
	i=$((i + 1))
done
demo "no policy"
result "no policy: both devices are used" test "$to0" -gt 0 -a "$to1" -gt 0
demo preferred --preferred="$second"
result "preferred: only there" test "$to0" = 0 -a "$to1" -gt 0
demo membind --membind="$first"
result "membind: only there" test "$to0" -gt 0 -a "$to1" = 0
demo interleave --interleave="$first,$second"
result "interleave: on both" test "$to0" -gt 0 -a "$to1" -gt 0
finish
