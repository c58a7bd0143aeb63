# SPDX-License-Identifier: GPL-2.0
"""The guest library's KTAP functions, run by busybox here instead of in a node."""

import shutil
import subprocess
import unittest
from pathlib import Path

from lab import ktap
from lab.ktap import Count

LIBRARY = Path(__file__).resolve().parents[3] / "tests" / "lib" / "ktap.sh"


@unittest.skipUnless(shutil.which("busybox"), "needs busybox")
class Ktap(unittest.TestCase):
    def play(self, script: str) -> tuple[Count, str, int]:
        """What a script's results come to, its output, and its status."""
        whole = f"set -u\n. {LIBRARY}\ntrap 'ktap_finish $?' EXIT\nktap_begin\n{script}\n"
        done = subprocess.run(
            ["busybox", "sh"], input=whole, capture_output=True, text=True, check=False, timeout=300
        )
        output = done.stdout + done.stderr
        count = sum((result.count() for result in ktap.parse(done.stdout)), Count())
        return count, output, done.returncode

    def test_results_are_counted(self) -> None:
        script = 'plan 4\nok a\ncheck b true\ncheck_eq c 1 1\nskip d "no device"'
        count, output, status = self.play(script)
        self.assertEqual((count, status), (Count(3, 0, 1), 0), output)

    def test_every_kind_of_check_can_fail(self) -> None:
        script = "plan 5\nnot_ok a\ncheck b false\ncheck_not c true\ncheck_eq d 1 2\ncheck_le e 2 1"
        count, output, status = self.play(script)
        self.assertEqual((count, status), (Count(failed=5), 1), output)

    def test_a_failed_check_shows_the_output_of_its_command(self) -> None:
        count, output, _ = self.play("plan 1\ncheck a sh -c 'echo because; exit 3'")
        self.assertEqual(count.failed, 1)
        self.assertIn("#   because", output)

    def test_no_plan_is_a_failure(self) -> None:
        count, output, status = self.play("ok a")
        self.assertEqual((count.failed, status), (1, 1), output)

    def test_the_end_half_way_is_a_failure(self) -> None:
        for end in ("exit 0", "die reason", 'echo "$no_such_name"', "no_such_function || exit 1"):
            with self.subTest(end):
                count, output, status = self.play(f"plan 2\nok a\n{end}\nok b")
                self.assertEqual((count.failed, status != 0), (1, True), output)
                self.assertIn("ended after 1 of 2 results", output)

    def test_a_status_is_kept(self) -> None:
        count, output, status = self.play("plan 1\nok a\nexit 7")
        self.assertEqual((count, status), (Count(passed=1), 7), output)

    def test_within_gives_up(self) -> None:
        script = "plan 2\nSLOW=1\ncheck a within 1 true\ncheck_not b within 1 false"
        count, output, _ = self.play(script)
        self.assertEqual(count, Count(passed=2), output)

    def test_within_gives_up_before_the_node_is_ended(self) -> None:
        script = "plan 1\nDEADLINE=1\ncheck a within 1000 false"
        count, output, _ = self.play(script)
        self.assertEqual(count.failed, 1)
        self.assertIn("not within the time: false", output)


if __name__ == "__main__":
    unittest.main()
