# SPDX-License-Identifier: GPL-2.0
"""The checks' own tests: each check must be seen to fail on a sample that is wrong."""

from __future__ import annotations

import io
import unittest
from pathlib import Path

from check.core import Check, Failed, Tree


def run(tree: Tree) -> list[str]:
    folder = Path(__file__).parent
    suite = unittest.TestLoader().discover(str(folder / "tests"), top_level_dir=str(folder.parent))
    report = io.StringIO()
    result = unittest.TextTestRunner(stream=report, verbosity=1).run(suite)
    if not result.testsRun:
        raise Failed("no test was found in scripts/check/tests")
    if not result.wasSuccessful():
        broken = len(result.failures) + len(result.errors)
        raise Failed(f"{broken} of {result.testsRun} tests", report.getvalue().splitlines())
    return []


CHECK = Check("selftest", "the tests of the checks themselves", run)
