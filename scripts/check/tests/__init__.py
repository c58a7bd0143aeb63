# SPDX-License-Identifier: GPL-2.0
"""For every check a sample that must fail and one that must pass."""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path

from check.core import Check, Tree, outcome


def needs(*programs: str) -> object:
    """These tests run in the build root; on a bare machine those without their tool are left out."""
    missing = [p for p in programs if shutil.which(p) is None]
    return unittest.skipIf(missing, f"not installed: {missing}")


class Sample(unittest.TestCase):
    """Makes small trees out of a few files and runs a check on them."""

    def tree(self, files: dict[str, str | bytes]) -> Tree:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = Path(folder.name)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Tree(root)

    def passes(self, check: Check, files: dict[str, str | bytes]) -> None:
        passed, lines = outcome(check, self.tree(files))
        self.assertTrue(passed, "\n".join(lines))
        self.assertEqual(lines, [f"ok {check.name}"])

    def fails(self, check: Check, files: dict[str, str | bytes], *expected: str) -> None:
        """The check fails, and some line of its report contains each of `expected`."""
        passed, lines = outcome(check, self.tree(files))
        self.assertFalse(passed, f"passed: {files}")
        self.assertTrue(lines[0].startswith(f"not ok {check.name} - "), lines[0])
        for text in expected:
            self.assertTrue(any(text in line for line in lines), f"{text!r} not in {lines}")
