# SPDX-License-Identifier: GPL-2.0
"""python3 -m check all|list|NAME..: run checks, one KTAP-like line each."""

from __future__ import annotations

import sys
from pathlib import Path

from check import (
    bindings,
    checkpatch,
    compilefail,
    docs,
    files,
    layers,
    links,
    python,
    readme,
    rustbuild,
    shell,
    spdx,
    unsafe,
)
from check.core import Tree, outcome

# The quick ones first: what is wrong there is known in a second.
CHECKS = (
    spdx.CHECK,
    files.CHECK,
    links.CHECK,
    readme.CHECK,
    unsafe.CHECK,
    bindings.CHECK,
    layers.CHECK,
    rustbuild.RUSTFMT,
    shell.CHECK,
    python.CHECK,
    checkpatch.CHECK,
    rustbuild.CLIPPY_HOST,
    rustbuild.CLIPPY_KERNEL,
    compilefail.CHECK,
    docs.CHECK,
)


def main(args: list[str]) -> int:
    tree = Tree(Path.cwd())
    known = {c.name: c for c in CHECKS}
    if args == ["list"]:
        for check in CHECKS:
            print(f"{check.name:<16} {check.what}")
        return 0
    names = list(known) if args == ["all"] else args
    strange = [n for n in names if n not in known]
    if not names or strange:
        what = f"no check named {', '.join(strange)}" if strange else "nothing to do"
        print(f"check: {what}; names: all list {' '.join(known)}", file=sys.stderr)
        return 2
    good = True
    for name in names:
        passed, lines = outcome(known[name], tree)
        print("\n".join(lines), flush=True)
        good = good and passed
    if names == ["docs"] and good:
        print(f"# the documentation is in {docs.OUTPUT}: open {tree.path(docs.OUTPUT)}/index.html")
    return 0 if good else 1


sys.exit(main(sys.argv[1:]))
