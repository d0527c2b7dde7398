# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts of this directory: names of places, tools and small helpers.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
GMEM_CACHE=${GMEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gmem}
TREE=$GMEM_CACHE/tree
BUILD=$ROOT/build
LLVM_VERSION=19
BINDGEN_VERSION=0.72.1
export ROOT GMEM_CACHE TREE BUILD

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# Print the comment block at the head of the calling script when asked for help.
help_if_asked() {
	case "${1:-}" in
	-h|--help)
		awk 'NR > 2 && !/^#/ { exit } NR > 2 { sub(/^# ?/, ""); print }' "$0"
		exit 0 ;;
	esac
}

# Run a phase and tell how long it took: phase NAME CMD...
phase() {
	local name=$1 start=$EPOCHREALTIME rc=0
	shift
	say "==> $name"
	"$@" || rc=$?
	awk -v n="$name" -v a="$start" -v b="$EPOCHREALTIME" -v rc="$rc" \
		'BEGIN { printf "==> %s: %.1f s%s\n", n, b - a, rc ? " (failed)" : "" }' >&2
	return "$rc"
}

# Take the cache lock for the rest of this process. The tree and the objects are
# shared by every checkout; a child of a lock holder must not wait for itself.
take_lock() {
	[ "${GMEM_LOCKED:-}" = "$GMEM_CACHE" ] && return 0
	mkdir -p "$GMEM_CACHE"
	exec {lock_fd}>"$GMEM_CACHE/lock"
	if ! flock -n "$lock_fd"; then
		say "${0##*/}: another build is running, waiting for it"
		flock "$lock_fd"
	fi
	export GMEM_LOCKED=$GMEM_CACHE
}

# The packaged file behind a tool's name. The PATH may hold another toolchain's
# rustc, which has neither the kernel's std source nor the matching clippy.
packaged() {
	local package=$1 name=$2
	dpkg -L "$package" 2>/dev/null | grep -E "^/usr/(bin|lib/[^ ]*/bin)/$name\$" | head -n 1
}

# Sets RUSTC, RUSTDOC, RUSTFMT, CLIPPY_DRIVER and BINDGEN.
# The variant "-web" is Debian's rustc that follows upstream; plain rustc does when new enough.
toolchain() {
	local v
	for v in -web ""; do
		[ -n "${RUSTC:-}" ] || RUSTC=$(packaged "rustc$v" rustc || true)
		[ -n "${RUSTDOC:-}" ] || RUSTDOC=$(packaged "rustc$v" rustdoc || true)
		[ -n "${RUSTFMT:-}" ] || RUSTFMT=$(packaged "rustfmt$v" rustfmt || true)
		[ -n "${CLIPPY_DRIVER:-}" ] || CLIPPY_DRIVER=$(packaged "rust$v-clippy" clippy-driver || true)
	done
	BINDGEN=${BINDGEN:-$GMEM_CACHE/tools/bin/bindgen}
	export RUSTC RUSTDOC RUSTFMT CLIPPY_DRIVER BINDGEN
}

# The make command line of the kernel: kmake OBJDIR ARGS...
kmake() {
	local obj=$1 compiler=LLVM=-$LLVM_VERSION
	shift
	[ -z "${CROSS:-}" ] || compiler=CROSS_COMPILE=$CROSS
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CONFIG \
		KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' \
		KBUILD_BUILD_USER=gmem KBUILD_BUILD_HOST=gmem KBUILD_BUILD_VERSION=1 \
		make -C "$TREE" O="$obj" ${ARCH:+"ARCH=$ARCH"} "$compiler" RUSTC="$RUSTC" HOSTRUSTC="$RUSTC" \
		RUSTDOC="$RUSTDOC" RUSTFMT="$RUSTFMT" CLIPPY_DRIVER="$CLIPPY_DRIVER" \
		BINDGEN="$BINDGEN" -j"${JOBS:-$(nproc)}" "$@"
}
