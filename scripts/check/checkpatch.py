# SPDX-License-Identifier: GPL-2.0
"""The kernel's checkpatch on every C file and header."""

from __future__ import annotations

from check.core import Check, Failed, Skipped, Tree, kernel_tree, start

# What is not asked for here, each with its reason.
IGNORED = {
    "FILE_PATH_CHANGES": "about MAINTAINERS, which an out-of-tree project has none of",
    "UNDOCUMENTED_DT_STRING": "looks for device tree bindings; there are none here",
    "EXPORT_SYMBOL": "what rust/exports.c exports is defined in Rust, not in the lines above",
    "MACRO_ARG_REUSE": "warns of side effects; the macros here take names, not expressions",
    "CONFIG_DESCRIPTION": "about Kconfig, which an out-of-tree project has none of",
}
# Nor of headers with trace events, which have a style of their own.
EVENTS = {
    "OPEN_ENDED_LINE": "the parts of an event are lists, one field a line",
    "PARENTHESIS_ALIGNMENT": "the parts of an event are indented by a tab",
}


def patchcheck(tree: Tree, names: list[str], ignored: dict[str, str]) -> list[str]:
    args = [kernel_tree() / "scripts" / "checkpatch.pl", "--no-tree", "--strict", "--terse"]
    options = ["--no-summary", "--show-types", "--ignore", ",".join(ignored), "--file"]
    done = start(["perl", *args, *options, *names], cwd=tree.root)
    lines = done.stdout.splitlines()
    if done.returncode != 0 and not any(": " in line for line in lines):
        raise Failed(f"checkpatch did not run (exit status {done.returncode})", lines)
    return lines if done.returncode else []


def run(tree: Tree) -> list[str]:
    names = tree.files(".c", ".h")
    if not names:
        raise Skipped("no C file")
    events = [name for name in names if "TRACE_EVENT(" in tree.text(name)]
    others = [name for name in names if name not in events]
    found = patchcheck(tree, others, IGNORED) if others else []
    return found + (patchcheck(tree, events, IGNORED | EVENTS) if events else [])


CHECK = Check("checkpatch", "the kernel's checkpatch --strict on every C file", run)
