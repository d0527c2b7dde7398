# SPDX-License-Identifier: GPL-2.0
"""Read the results of libtest, TAP and KUnit out of what they print."""

import re
from collections import namedtuple

# One test case: outcome is "ok", "not ok" or "skip".
Case = namedtuple("Case", "name outcome")

RESULT = re.compile(r"^(ok|not ok)\s+(\d+)\s*(?:-\s*)?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
CONSOLE = re.compile(r"^\[\s*\d+\.\d+\](?:\[[^]]*\])? ?")


def outcome(word, rest):
    name, _, directive = rest.partition("#")
    directive = directive.strip().upper()
    if directive.startswith("SKIP"):
        word = "skip"
    return Case(name.strip(), word)


def tap(lines):
    """The cases of one TAP stream, and the number of cases its plan promised (None without a plan)."""
    cases, planned = [], None
    for line in lines:
        line = line.rstrip("\r\n")
        plan = PLAN.match(line)
        if plan:
            planned = int(plan.group(1))
        result = RESULT.match(line)
        if result:
            cases.append(outcome(result.group(1), result.group(3)))
    return cases, planned


def program(name, lines, status):
    """The cases of one test program; ending badly or short of its plan is a failed case of its own."""
    cases, planned = tap(lines)
    cases = [Case(f"{name}: {c.name}", c.outcome) for c in cases]
    failed = any(c.outcome == "not ok" for c in cases)
    if planned == 0 or (status == 4 and not cases):
        return [Case(name, "skip")]
    if planned is None:
        cases.append(Case(f"{name}: no test plan (exit status {status})", "not ok"))
    elif len(cases) != planned:
        cases.append(Case(f"{name}: {len(cases)} of {planned} cases reported (exit status {status})", "not ok"))
    elif status not in (0, 4) and not failed:
        cases.append(Case(f"{name}: exit status {status}", "not ok"))
    return cases


def kunit(log, wanted):
    """The cases of a kernel log for which wanted(suite, case) holds.

    A suite announces itself with "# Subtest:" one level deep; its cases stand
    at that level and the parameters of a case deeper. A suite that was
    announced and never closed is a failed case.
    """
    cases, suite, planned, seen = [], None, 0, 0
    for line in log:
        line = CONSOLE.sub("", line.rstrip("\r\n"))
        depth = (len(line) - len(line.lstrip(" "))) // 4
        text = line.strip()
        if depth == 1 and text.startswith("# Subtest: "):
            suite, planned, seen = text[len("# Subtest: "):], None, 0
        elif suite and depth == 1 and PLAN.match(text):
            planned = int(PLAN.match(text).group(1))
        elif suite and depth <= 1 and RESULT.match(text):
            word, _, rest = RESULT.match(text).groups()
            case = outcome(word, rest)
            if depth == 0 and case.name == suite:
                if seen != planned and wanted(suite, ""):
                    cases.append(Case(f"{suite}: {seen} of {planned} cases reported", "not ok"))
                suite = None
            elif depth == 1:
                seen += 1
                if wanted(suite, case.name):
                    cases.append(Case(f"{suite}: {case.name}", case.outcome))
    if suite and wanted(suite, ""):
        cases.append(Case(f"{suite}: did not end", "not ok"))
    return cases


def libtest(lines, status):
    """The cases of "cargo test"; names of the programs are those of its Running lines."""
    cases, where = [], ""
    for line in lines:
        line = line.rstrip("\n")
        running = re.match(r"\s+(?:Running|Doc-tests) (?:unittests )?(\S+)", line)
        if running:
            where = running.group(1)
        result = re.match(r"test (.*) \.\.\. (ok|FAILED|ignored)", line)
        if result:
            word = {"ok": "ok", "FAILED": "not ok", "ignored": "skip"}[result.group(2)]
            cases.append(Case(f"{where}: {result.group(1)}", word))
    if status and not any(c.outcome == "not ok" for c in cases):
        cases.append(Case(f"cargo test: exit status {status}", "not ok"))
    return cases
