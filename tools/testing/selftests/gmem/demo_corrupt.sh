#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A byte flipped on a device must make the demo fail; without it, it passes.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there gmem

input=${GMEM_DEMO_INPUT:-}
if [ -z "$input" ]; then
	for d in /usr/lib/python3* /usr/include /usr/share; do
		[ -n "$input" ] || [ ! -d "$d" ] || input=$d
	done
fi
if [ -z "$input" ]; then
	echo "1..0 # SKIP no real files here"
	exit 4
fi

demo() {
	before=$(vmstat gmem_to_device)
	timeout 300 gmem demo --input "$input" "$@" >"$work/out" 2>&1
	status=$?
	tail -n 5 "$work/out" >"$work/tail"
	show "$work/tail"
}

used_the_devices() {
	[ "$(vmstat gmem_to_device)" -gt "$before" ]
}

demo
result "demo: exit status 0" test "$status" -eq 0
result "demo: says ok" grep -q '^demo: ok' "$work/tail"
result "demo: used the devices" used_the_devices
demo --corrupt
result "corrupt: exit status 1" test "$status" -eq 1
result "corrupt: says so" grep -q '^demo: FAILED' "$work/tail"
result "corrupt: used the devices" used_the_devices
finish
