# SPDX-License-Identifier: GPL-2.0
"""shellcheck on every shell script, whatever its name."""

from __future__ import annotations

import re

from check.core import Check, Skipped, Tree, start

_SHEBANG = re.compile(r"^#!.*\b(?:ba|da|busybox )?sh\b")


def scripts(tree: Tree) -> list[str]:
    return [n for n in tree.files() if n.endswith(".sh") or _SHEBANG.match(tree.first_line(n))]


def run(tree: Tree) -> list[str]:
    names = scripts(tree)
    if not names:
        raise Skipped("no shell script")
    # SC1091: what a node's script sources is at its place in the node, and is itself checked here.
    done = start(["shellcheck", "-e", "SC1091", "-f", "gcc", *names], cwd=tree.root)
    return done.stdout.splitlines() if done.returncode else []


CHECK = Check("shellcheck", "shellcheck on every shell script", run)
