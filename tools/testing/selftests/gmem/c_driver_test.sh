#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The C driver runs its checks when it is loaded, and can be loaded again.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there modprobe rmmod dmesg awk find
if [ -z "$(find "/lib/modules/$(uname -r)" -name "gmem_c_test.ko*")" ]; then
	echo "1..0 # SKIP no module gmem_c_test"
	exit 4
fi

# log: what the module has said since the last mark.
log() {
	dmesg | awk -v mark="$mark" '
		index($0, mark) { found = 1; next }
		found && sub(/.*gmem_c_test: /, "")'
}

# load NAME: one load, each line of the module as a test.
load() {
	mark="c_driver_test $$ $1"
	echo "$mark" >/dev/kmsg
	modprobe gmem_c_test
	result "$1: module loads" test $? -eq 0
	log >"$work/log"
	while read -r line; do
		case $line in
		"ok "*) result "$1: ${line#ok * - }" true ;;
		"not ok "*) result "$1: ${line#not ok * - }" false ;;
		esac
	done <"$work/log"
	planned=$(sed -n 's/^1\.\.//p' "$work/log")
	seen=$(grep -c '^\(not \)\{0,1\}ok ' "$work/log")
	result "$1: every check was seen" test "$seen" -eq "${planned:-0}"
	result "$1: ends well" grep -qx 'all checks passed' "$work/log"
	rmmod gmem_c_test
	result "$1: module unloads" test $? -eq 0
}

load first
load second
finish
