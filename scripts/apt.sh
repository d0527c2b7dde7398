# SPDX-License-Identifier: GPL-2.0
# Packages of the Debian archive that are unpacked, not installed, through a private
# apt state directory: the machine's own apt sources stay as they are. After lib.sh.
# shellcheck shell=bash

# The URI of the Debian archive this machine already uses, from either source format.
debian_mirror() {
	python3 - <<'PY'
import glob, re, sys

def entries():
    for name in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*")):
        try:
            text = open(name).read()
        except OSError:
            continue
        if name.endswith(".sources"):
            for block in re.split(r"\n\s*\n", text):
                block = "\n".join(l for l in block.split("\n") if not l.startswith("#"))
                field = dict(re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*)$", block))
                if field.get("Enabled", "yes").lower() == "no":
                    continue
                for uri in field.get("URIs", "").split():
                    yield uri, field.get("Signed-By", "")
        elif name.endswith(".list"):
            for line in text.split("\n"):
                m = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)", line)
                if m:
                    key = re.search(r"signed-by=(\S+)", m.group(1) or "")
                    yield m.group(2), key.group(1) if key else ""

found = [e for e in entries() if re.search(r"/debian/?$", e[0])]
if not found:
    sys.exit(1)
print(*found[0])
PY
}

# Make DIR anew, with the package lists of a suite. Sets apt, the options of every
# further apt command: private_apt DIR SUITE [ARCHITECTURE]
private_apt() {
	local dir=$1 suite=$2 arch=${3:-$(dpkg --print-architecture)} mirror key
	mirror=$(debian_mirror) || die "no Debian mirror is configured here"
	read -r mirror key <<<"$mirror "
	key=${key%% *}
	[ -n "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ ! -e "$key" ] || key=" signed-by=$key"
	rm -rf "$dir"
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	echo "deb [arch=$arch${key##/*}] $mirror $suite main" >"$dir/sources.list"
	# shellcheck disable=SC2034
	apt=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
		-o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status"
		-o "Dir::Cache=$dir/cache" -o "Dir::Etc::sourcelist=$dir/sources.list"
		-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
		-o APT::Sandbox::User= -o Acquire::Languages=none)
	apt-get "${apt[@]}" update
}
