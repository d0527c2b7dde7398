# SPDX-License-Identifier: GPL-2.0
"""The build of the house: lines, functions, unsafe, and knots of mm/gmem and its bindings."""

import collections
import os
import re
import statistics

import rooms

FOLDERS = ("mm/gmem", "rust/kernel/gmem", "rust/kernel/mm")
# The most lines of a file and of a function, and files of a room that use each other.
MAX_LINES, MAX_FUNCTION, MAX_KNOT = 400, 60, 3
# Not of the product: the toy driver in C, and the tests of KUnit.
TESTS = re.compile(r"/c_test/|/kunit\.rs$")
QUOTED = re.compile(
    r"//[^\n]*|/\*.*?\*/|b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\]|\\.[^']*)'", re.S)


def bare(text):
    """The text without comments, strings and characters; it has the same number of lines."""
    def blank(match):
        found = match.group()
        return ("" if found[0] == "/" else '""') + "\n" * found.count("\n")
    return QUOTED.sub(blank, text)


def end_of_block(text, start):
    """Where the block ends whose brace opens at or after `start`."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.end()
    return len(text)


def without_tests(text):
    """The text of a Rust file without its modules of tests."""
    while True:
        match = re.search(r"#\[(?:cfg\(test\)|kunit_tests\(\w+\))\]\s*(?:pub(?:\(\w+\))? )?mod \w+ (?=\{)", text)
        if not match:
            return text
        text = text[:match.start()] + text[end_of_block(text, match.end()):]


def functions(text, rust):
    """(name, lines) of each function with a body, from its first line to its last brace."""
    if rust:
        heads = re.compile(r"(?m)^[ \t]*(?:[\w(): ]+ )?fn (\w+)[^;{]*\{")
    else:
        heads = re.compile(r"(?m)^(?!struct|enum|union|static const|typedef)\w[^;{}=]*?\b(\w+)\([^;{}]*\)\s*\{")
    for match in heads.finditer(text):
        end = end_of_block(text, match.end() - 1)
        yield match.group(1), text.count("\n", match.start(), end) + 1 - (match.group()[0] == "\n")


def knots(graph):
    """The strongly connected sets of more than one, largest first."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in list(graph):
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def module(f, root):
    """The path of the module in a file under the folder `root`."""
    path = os.path.splitext(os.path.relpath(f, root))[0].split(os.sep)
    return tuple(path) if path != [os.path.basename(root)] else ()


def used_modules(f, text, root, modules):
    """The modules of the crate that a file uses, by crate:: and super::."""
    mine = module(f, root)
    for prefix in ("super::super::", "super::"):
        up = mine[:-prefix.count("super")] if mine else ()
        text = re.sub(rf"(?<![:\w]){prefix}", "::".join(("crate",) + up) + "::", text)
    found = set()
    for path in rooms.uses(text):
        path = tuple(path)
        while path and path not in modules:
            path = path[:-1]
        if path and path != mine:
            found.add(path)
    return found


def graph_of(top, root, files):
    """{module: modules that it uses} of the Rust files under a folder."""
    files = [f for f in files if f.startswith(root + "/") and f.endswith(".rs") and not TESTS.search(f)]
    modules = {module(f, root) for f in files} - {()}
    return {module(f, root): used_modules(f, without_tests(bare(open(os.path.join(top, f)).read())), root, modules)
            for f in files if module(f, root)}


def measure(top, files):
    """Code lines and uses of unsafe by place, (lines, file) and (lines, function, file)."""
    lines, unsafe, sizes, bodies = collections.Counter(), collections.Counter(), [], []
    for f in files:
        folder = next((d for d in FOLDERS if f.startswith(d + "/")), None)
        rust = f.endswith(".rs")
        if not folder or not f.endswith((".rs", ".c", ".h")) or TESTS.search(f):
            continue
        raw = open(os.path.join(top, f)).read()
        text = without_tests(bare(raw)) if rust else bare(raw)
        if rust:
            place = os.path.dirname(f) if folder == "mm/gmem" else folder
            unsafe[place] += len(re.findall(r"\bunsafe\b", text))
        lines[folder] += sum(1 for line in text.splitlines() if line.strip())
        sizes.append((raw.count("\n"), f))
        bodies += [(n, name, f) for name, n in functions(text, rust)]
    return lines, unsafe, sorted(sizes, reverse=True), sorted(bodies, reverse=True)


def all_knots(top, files):
    """The knots of rooms, and (place, knot) of the files inside each room and in the driver."""
    tree = graph_of(top, rooms.CORE, files)
    between, inside = {}, []
    for mine, others in tree.items():
        between.setdefault(mine[0], set()).update(o[0] for o in others if o[0] != mine[0])
    for room in sorted(between):
        graph = {m: {o for o in others if o[0] == room and len(o) > 1} for m, others in tree.items()
                 if m[0] == room and len(m) > 1}
        inside += [(room, ["/".join(m[1:]) for m in knot]) for knot in knots(graph)]
    driver = graph_of(top, "drivers/accel/npu_stub", files)
    inside += [("npu_stub", ["/".join(m) for m in knot]) for knot in knots(driver)]
    return knots(between), inside


def print_house(top, files):
    """Sizes and knots."""
    lines, unsafe, sizes, bodies = measure(top, files)
    print(f"code without comments and tests: {sum(lines.values())} lines ("
          + ", ".join(f"{name} {lines[name]}" for name in FOLDERS) + ")")
    print("largest files: " + ", ".join(f"{f} {n}" for n, f in sizes[:8]))
    print(f"functions: {len(bodies)}, median {statistics.median(n for n, *_ in bodies):.0f} lines, longest "
          + ", ".join(f"{name} {n} ({f})" for n, name, f in bodies[:8]))
    print("unsafe: " + ", ".join(f"{place} {n}" for place, n in unsafe.most_common() if n))
    between, inside = all_knots(top, files)
    print("knots of rooms: " + ("; ".join(" ".join(k) for k in between) or "none"))
    for place, knot in inside:
        print(f"knot in {place}: {len(knot)} files: {' '.join(knot)}")


def defects(top, files):
    """What the house may not have: arrows up, knots, long files and functions."""
    found = [f"{f} uses {path}: up from {pair[0]} to {pair[1]}"
             for pair, uses in rooms.arrows(top, files).items() if rooms.is_up(pair) for f, path in uses]
    homeless = {rooms.room_of(f) for f in files if f.startswith(rooms.CORE + "/") and f.endswith(".rs")}
    found += [f"room {room} has no level" for room in sorted(homeless - rooms.LEVEL.keys() - {"root"})]
    between, inside = all_knots(top, files)
    found += ["rooms that use each other: " + " ".join(knot) for knot in between]
    found += [f"{len(knot)} files of {place} use each other, at most {MAX_KNOT} may: {' '.join(knot)}"
              for place, knot in inside if len(knot) > MAX_KNOT]
    _, _, sizes, bodies = measure(top, files)
    found += [f"{f} has {n} lines, at most {MAX_LINES} may be" for n, f in sizes if n > MAX_LINES]
    found += [f"{f}: {name}() has {n} lines, at most {MAX_FUNCTION} may be" for n, name, f in bodies if n > MAX_FUNCTION]
    return found


def self_test():
    text = 'fn a() { // {\n    let s = "{";\n    let c = \'}\';\n}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n'
    cut = without_tests(bare(text))
    assert list(functions(cut, True)) == [("a", 4)], list(functions(cut, True))
    assert knots({1: {2}, 2: {3}, 3: {1}, 4: {1}}) == [[1, 2, 3]]
    assert module("mm/gmem/fault/serve.rs", "mm/gmem") == ("fault", "serve") and module("mm/gmem/gmem.rs", "mm/gmem") == ()


if __name__ == "__main__":
    self_test()
    print("house: ok")
