# SPDX-License-Identifier: GPL-2.0
"""The rooms of mm/gmem, and which of them use which."""

import collections
import os
import re

CORE = "mm/gmem"
# From the top. A room may use those in the levels below its own.
LEVELS = (("abi",), ("fault",), ("reclaim",), ("migrate",), ("space",), ("advice", "replica"), ("device",), ("policy",), ("prelude",),
          ("range", "sys"))
LEVEL = {room: n for n, level in enumerate(LEVELS) for room in level}
TOKEN = re.compile(r"//[^\n]*|\"[^\"\n]*\"|\s+|(::|[{},;]|\w+)|.")


def room_of(path):
    """The room of a file of the core; a file at the root that is in no level has none ("root")."""
    parts = os.path.relpath(path, CORE).split(os.sep)
    name = os.path.splitext(parts[0])[0]
    return name if len(parts) > 1 or name in LEVEL else "root"


def leaves(tokens, prefix=()):
    """The paths of one use tree, from a list of tokens that is consumed up to its end."""
    path = list(prefix)
    while tokens:
        token = tokens.pop(0)
        if token == "{":
            while tokens and tokens[0] != "}":
                yield from leaves(tokens, path)
                if tokens and tokens[0] == ",":
                    tokens.pop(0)
            tokens[:1] = []
            return
        if token == "as":
            tokens[:1] = []
        elif token != "::":
            path.append(token)
        if not tokens or tokens[0] in ",};":
            yield tuple(p for p in path if p != "self")
            return


def uses(text):
    """Paths from the root of the crate that a file names: in its use lines, and written out."""
    found = []
    for use in re.findall(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use (crate::[^;]*);", text):
        tokens = [t for t in (m.group(1) for m in TOKEN.finditer(use)) if t]
        found += [path[1:] for path in leaves(tokens)]
    rest = re.sub(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use [^;]*;|//.*", "", text)
    found += [tuple(path.split("::")) for path in re.findall(r"\bcrate::(\w+(?:::\w+)*)", rest)]
    return found


def arrows(root, files):
    """{(room, room that it uses): [(file, path)]} of the Rust files of the core."""
    found = collections.defaultdict(list)
    for f in files:
        if not f.startswith(CORE + "/") or not f.endswith(".rs"):
            continue
        room = room_of(f)
        for path in uses(open(os.path.join(root, f)).read()):
            if path and path[0] in LEVEL and path[0] != room:
                found[room, path[0]].append((f, "::".join(path)))
    return found


def is_up(pair):
    """Whether the first room may not use the second: it is no level below."""
    return pair[0] in LEVEL and LEVEL[pair[1]] <= LEVEL[pair[0]]


def self_test():
    text = "use crate::{\n    a::{\n        self,\n        B, //\n    },\n    c::D as E, //\n};\n// crate::x\nlet f = crate::g::h();"
    assert uses(text) == [("a",), ("a", "B"), ("c", "D"), ("g", "h")], uses(text)
    assert is_up(("device", "space")) and is_up(("advice", "replica")) and not is_up(("abi", "space"))


if __name__ == "__main__":
    self_test()
    print("rooms: ok")
