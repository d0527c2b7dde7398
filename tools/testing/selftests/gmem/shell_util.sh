# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# TAP for the shell tests, which need programs of a real root and tools/gmem.

PATH=/opt/gmem/bin:$PATH
preload=${GMEM_PRELOAD:-/opt/gmem/lib/libgmem_preload.so}
tests=0
failed=0

# skip_unless_there COMMAND...: end as skipped unless all of them exist.
skip_unless_there() {
	for c; do
		if ! command -v "$c" >/dev/null; then
			echo "TAP version 13"
			echo "1..0 # SKIP no $c here"
			exit 4
		fi
	done
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	echo "TAP version 13"
}

# result NAME CMD...: one test, which passes when CMD does.
result() {
	result_name=$1
	shift
	tests=$((tests + 1))
	if "$@"; then
		echo "ok $tests $result_name"
	else
		failed=$((failed + 1))
		echo "not ok $tests $result_name"
	fi
}

# show FILE: a file as TAP comments.
show() {
	sed 's/^/# /' "$1"
}

vmstat() {
	awk -v k="$1" '$1 == k { print $2 }' /proc/vmstat
}

finish() {
	echo "1..$tests"
	[ "$failed" -eq 0 ] || exit 1
	exit 0
}
