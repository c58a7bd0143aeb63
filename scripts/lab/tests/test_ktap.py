# SPDX-License-Identifier: GPL-2.0
"""KTAP: what counts as passed, and what must not."""

import unittest

from lab import ktap, suite
from lab.ktap import Count, Outcome, Result


def count(text: str) -> Count:
    return sum((result.count() for result in ktap.parse(text)), Count())


class Parse(unittest.TestCase):
    def test_plain(self) -> None:
        text = "KTAP version 1\n1..3\nok 1 - one\nnot ok 2 - two\nok 3 - three # SKIP no device\n"
        results = ktap.parse(text)
        self.assertEqual([result.name for result in results], ["one", "two", "three"])
        self.assertEqual(results[2].reason, "no device")
        self.assertEqual(count(text), Count(1, 1, 1))

    def test_lines_before_and_between_do_not_matter(self) -> None:
        text = (
            "noise\nok 7 - not a result\nKTAP version 1\n1..1\nmore noise\n# a remark\nok 1 - x\n"
        )
        (result,) = ktap.parse(text)
        self.assertEqual(result.outcome, Outcome.PASSED)
        self.assertEqual(result.notes, ["more noise", "a remark"])

    def test_remarks_after_a_result_belong_to_it(self) -> None:
        first, second = ktap.parse("KTAP version 1\n1..2\nnot ok 1 - x\n# why\nok 2 - y\n")
        self.assertEqual((first.notes, second.notes), (["why"], []))

    def test_nested(self) -> None:
        text = (
            "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: inner\n    1..2\n"
            "    ok 1 - a\n    ok 2 - b\nok 1 - inner\nok 2 - outer\n"
        )
        inner, _ = ktap.parse(text)
        self.assertEqual([child.name for child in inner.children], ["a", "b"])
        self.assertEqual(count(text), Count(passed=3))

    def test_a_failure_inside_fails_the_outside(self) -> None:
        text = (
            "KTAP version 1\n1..1\n    KTAP version 1\n    1..1\n    not ok 1 - a\nok 1 - inner\n"
        )
        (result,) = ktap.parse(text)
        self.assertEqual(result.outcome, Outcome.FAILED)


class Strict(unittest.TestCase):
    """A test that died must never count as passed."""

    def failed(self, text: str) -> None:
        self.assertGreater(count(text).failed, 0, text)

    def test_nothing(self) -> None:
        self.failed("")
        self.failed("Segmentation fault\n")

    def test_only_the_version(self) -> None:
        self.failed("KTAP version 1\n")

    def test_no_plan(self) -> None:
        self.failed("KTAP version 1\nok 1 - x\n")

    def test_too_few(self) -> None:
        self.failed("KTAP version 1\n1..2\nok 1 - x\n")

    def test_too_many(self) -> None:
        self.failed("KTAP version 1\n1..1\nok 1 - x\nok 2 - y\n")

    def test_a_number_left_out_or_twice(self) -> None:
        self.failed("KTAP version 1\n1..2\nok 1 - x\nok 3 - y\n")
        self.failed("KTAP version 1\n1..2\nok 1 - x\nok 1 - x\n")

    def test_bail_out(self) -> None:
        self.failed("KTAP version 1\n1..1\nBail out! no device\nok 1 - x\n")

    def test_cut_off_inside_a_subtest(self) -> None:
        self.failed("KTAP version 1\n1..1\n    KTAP version 1\n    1..1\n    ok 1 - a\n")

    def test_garbled_result(self) -> None:
        self.failed("KTAP version 1\n1..1\no k 1 - x\n")

    def test_a_skipped_plan_is_skipped(self) -> None:
        self.assertEqual(count("KTAP version 1\n1..0 # SKIP no QEMU\n"), Count(skipped=1))


class Render(unittest.TestCase):
    def test_what_is_written_reads_back(self) -> None:
        inner = Result(
            "node a",
            Outcome.FAILED,
            children=[
                Result("x", Outcome.PASSED),
                Result("y", Outcome.SKIPPED, "why"),
                Result("z", Outcome.FAILED, notes=["because"]),
            ],
        )
        whole = Result("test", Outcome.FAILED, children=[inner])
        text = "\n".join([*ktap.header(1), *ktap.render(whole, 1)])
        (again,) = ktap.parse(text)
        self.assertEqual(again.count(), Count(1, 1, 1))
        self.assertEqual(again.children[0].children[2].notes, ["because"])

    def test_a_failure_that_no_child_explains_counts(self) -> None:
        result = Result("t", Outcome.FAILED, children=[Result("x", Outcome.PASSED)])
        self.assertEqual(result.count(), Count(passed=1, failed=1))

    def test_failures_are_those_that_no_child_explains(self) -> None:
        bad = Result("b", Outcome.FAILED, notes=["first", "why"])
        inner = Result("in", Outcome.FAILED, children=[Result("a", Outcome.PASSED), bad])
        alone = Result("alone", Outcome.FAILED, children=[Result("c", Outcome.SKIPPED)])
        outer = Result("out", Outcome.FAILED, children=[inner, alone])
        self.assertEqual(ktap.failures(outer), [("out / in / b", bad), ("out / alone", alone)])
        said: list[str] = []
        suite.say_failures([outer, Result("d", Outcome.PASSED)], said.append)
        self.assertEqual(
            said, ["FAILED: out / in / b", "    first", "    why", "FAILED: out / alone"]
        )

    def test_of_what_a_failure_said_the_end_is_said_again(self) -> None:
        said: list[str] = []
        notes = [str(number) for number in range(1000)]
        suite.say_failures([Result("x", Outcome.FAILED, notes=notes)], said.append)
        self.assertEqual(said[-1], "    999")
        self.assertEqual(len(said), 1 + suite.LAST_NOTES)

    def test_the_sum_is_the_closing_line(self) -> None:
        self.assertEqual(str(Count(2, 0, 1) + Count(1, 1, 0)), "3 passed, 1 failed, 1 skipped")


if __name__ == "__main__":
    unittest.main()
