# SPDX-License-Identifier: GPL-2.0
"""Every source file names its licence in its first line, in the comment style of the kernel."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from check.core import Check, Tree

# The style the kernel's license-rules ask for, by kind of file.
_STYLES = {
    ".c": ("// ", ""),
    ".rs": ("// ", ""),
    ".h": ("/* ", " */"),
    ".S": ("/* ", " */"),
    ".rst": (".. ", ""),
    ".md": ("<!-- ", " -->"),
    ".svg": ("<!-- ", " -->"),
    ".html": ("<!-- ", " -->"),
    ".css": ("/* ", " */"),
}
_HASH = ("# ", "")
# Not written by us, or without a place for a comment.
_EXEMPT_NAMES = {"COPYING", "Cargo.lock"}
_EXEMPT_FOLDERS = ("LICENSES/",)
# Seeds of a fuzzer and recorded inputs are data.
_DATA = re.compile(r"(^|/)(corpus|seeds)/")


def expected(name: str) -> tuple[str, str]:
    return _STYLES.get(PurePosixPath(name).suffix, _HASH)


def problem(tree: Tree, name: str) -> str | None:
    lines = tree.text(name).splitlines()[:2]
    if not lines:
        return None  # an empty file, such as a package's marker, says nothing that has a licence
    if lines and lines[0].startswith("#!") and not lines[0].startswith("#!["):
        lines = lines[1:]
    before, after = expected(name)
    found = re.fullmatch(
        re.escape(before) + r"SPDX-License-Identifier: (.+?)" + re.escape(after),
        lines[0] if lines else "",
    )
    if found is None:
        return f"{name}:1: the first line is not `{before}SPDX-License-Identifier: ..{after}`"
    for word in re.split(r"[()\s]+", found[1]):
        if word in ("", "OR", "AND", "WITH"):
            continue
        base = re.sub(r"(-only|-or-later|\+)$", "", word)
        if not any((tree.root / "LICENSES").glob(f"*/{base}")):
            return f"{name}:1: no text of licence `{word}` in LICENSES/"
    return None


def run(tree: Tree) -> list[str]:
    names = [
        n
        for n in tree.files()
        if PurePosixPath(n).name not in _EXEMPT_NAMES
        and not n.startswith(_EXEMPT_FOLDERS)
        and not _DATA.search(n)
    ]
    return [p for p in (problem(tree, n) for n in names) if p]


CHECK = Check("spdx", "the licence in the first line of every file, its text in LICENSES/", run)
