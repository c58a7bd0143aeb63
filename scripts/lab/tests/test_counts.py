# SPDX-License-Identifier: GPL-2.0
"""How the results of other runners are counted: what is not understood is a failure."""

import unittest

from lab.hosttests import count_cargo, count_checks, count_unittest
from lab.ktap import Count


class Checks(unittest.TestCase):
    def test_lines(self) -> None:
        output = (
            "ok spdx\nok ruff # SKIP no ruff\nnot ok unsafe - 2 problems\n# ok no\nskip x - y\n"
        )
        self.assertEqual(count_checks(output), Count(1, 1, 2))


class Unittest(unittest.TestCase):
    def test_good(self) -> None:
        self.assertEqual(count_unittest("...\nRan 3 tests in 0.1s\n\nOK\n", 0), Count(passed=3))

    def test_failures_errors_and_skips(self) -> None:
        output = "Ran 9 tests in 1s\n\nFAILED (failures=1, errors=2, skipped=3)\n"
        self.assertEqual(count_unittest(output, 1), Count(3, 3, 3))

    def test_an_expected_failure_that_passes_is_a_failure(self) -> None:
        output = "Ran 2 tests in 1s\n\nFAILED (unexpected successes=1)\n"
        self.assertEqual(count_unittest(output, 1), Count(1, 1, 0))

    def test_what_is_not_understood(self) -> None:
        self.assertEqual(count_unittest("Traceback ...\n", 1), Count(failed=1))
        self.assertEqual(count_unittest("Ran 0 tests in 0s\n\nNO TESTS RAN\n", 5), Count(failed=1))
        self.assertEqual(count_unittest("Ran 2 tests in 0s\n\nOK\n", 1).failed, 1)


class Cargo(unittest.TestCase):
    def test_all_programs_are_added(self) -> None:
        output = (
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n"
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured\n"
        )
        self.assertEqual(count_cargo(output, 101), Count(7, 1, 1))

    def test_what_does_not_build(self) -> None:
        self.assertEqual(count_cargo("error[E0433]\n", 101), Count(failed=1))


if __name__ == "__main__":
    unittest.main()
