# SPDX-License-Identifier: GPL-2.0
"""Every command that README.md shows is one that the tests or CI run, so that none of them rots."""

from __future__ import annotations

import re

from check.core import Check, Failed, Tree

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELL = {"sh", "bash", "console", "shell"}

# Command: the file that runs it, and the text there by which it does.
RUN_BY = {
    "make test": (".ci/run", "make test"),
    "make demo": ("tests/demo.toml", "description"),
}


def commands(text: str) -> list[str]:
    """The lines of the README's shell blocks, without prompts and comments."""
    found = []
    for language, block in _BLOCK.findall(text):
        if language in _SHELL:
            lines = (re.sub(r"\s+#.*", "", line.removeprefix("$ ")) for line in block.splitlines())
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def run(tree: Tree) -> list[str]:
    if not tree.path("README.md").is_file():
        raise Failed("no README.md")
    shown = commands(tree.text("README.md"))
    found = [
        f"README.md shows `{command}`, which nothing runs; run it in a test and name that in "
        "scripts/check/readme.py"
        for command in shown
        if command not in RUN_BY
    ]
    for command, (name, text) in RUN_BY.items():
        if command not in shown:
            found.append(f"scripts/check/readme.py: README.md does not show `{command}` any more")
        elif not tree.path(name).is_file() or text not in tree.text(name):
            found.append(f"{name} does not run `{command}` any more, which README.md shows")
    return found


CHECK = Check("readme", "each command in README.md is one that the tests or CI run", run)
