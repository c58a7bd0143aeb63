# SPDX-License-Identifier: GPL-2.0
"""What the user sees of provisioning, on a terminal and elsewhere."""

from __future__ import annotations

import io
import unittest

import support
from host import progress
from host.progress import Display, Log


class Showing(unittest.TestCase):
    def setUp(self) -> None:
        self.log = Log(support.folder(self), "test")
        self.addCleanup(self.log.close)
        self.out = io.StringIO()

    def display(self, tty: bool, verbose: bool = False, **env: str) -> Display:
        return Display(self.log, 8, self.out, {"TERM": "xterm", **env}, verbose, tty)

    def show(self, display: Display, until_drawn: bool = False) -> str:
        """A step that says one line, and has 12.3 MB."""
        with display.shown(), display.step(3, "build root") as step:
            step.measure = lambda: 12_300_000
            step.line("\x1b[1mI:\x1b[0m working\ton it")
            if until_drawn:
                support.wait_for("the line is drawn", lambda: "on it" in self.out.getvalue())
        return self.out.getvalue()

    def test_plain_is_one_line_at_each_end(self) -> None:
        lines = self.show(self.display(tty=False)).splitlines()
        self.assertEqual(lines[0], "[3/8] build root ...")
        self.assertRegex(lines[1], r"^\[3/8\] build root +12\.3 MB +\d+ s  done$")
        self.assertEqual(len(lines), 2)

    def test_plain_has_no_control_characters(self) -> None:
        self.assertNotRegex(self.show(self.display(tty=False)), r"[\x1b\r]")

    def test_terminal_redraws_one_line_and_leaves_the_last(self) -> None:
        text = self.show(self.display(tty=True), until_drawn=True)
        self.assertRegex(text, r"\r\x1b\[K\[3/8\] build root +12\.3 MB +\d+ s  I: working on it")
        self.assertTrue(text.endswith("\x1b[32mdone\x1b[0m\n"))

    def test_line_fits_the_terminal(self) -> None:
        display = self.display(tty=True)
        with display.shown(), display.step(1, "host tools") as step:
            step.line("x" * 1000)
            support.wait_for("the line is drawn", lambda: "xxx" in self.out.getvalue())
        drawn = self.out.getvalue().split("\r\x1b[K")
        self.assertTrue(all(len(line) < 1000 for line in drawn))

    def test_no_colour_when_asked(self) -> None:
        text = self.show(self.display(tty=True, NO_COLOR="1"))
        self.assertNotIn("\x1b[32m", text)

    def test_dumb_terminal_gets_plain_lines(self) -> None:
        self.assertNotIn("\x1b", self.show(self.display(tty=True, TERM="dumb")))

    def test_verbose_shows_what_commands_print(self) -> None:
        self.assertIn("working", self.show(self.display(tty=False, verbose=True)))
        self.assertNotIn("working", self.show(self.display(tty=False)).splitlines()[0])

    def test_log_has_it_all(self) -> None:
        self.show(self.display(tty=False))
        text = self.log.path.read_text()
        self.assertIn("[3] === build root", text)
        self.assertIn("working\ton it", text)

    def test_failed_step_leaves_no_done(self) -> None:
        display = self.display(tty=True)
        with self.assertRaises(ValueError), display.shown(), display.step(1, "host tools"):
            raise ValueError
        self.assertNotIn("done", self.out.getvalue())

    def test_two_steps_at_a_time(self) -> None:
        display = self.display(tty=False)
        with display.shown(), display.step(3, "build root"), display.step(4, "download"):
            pass
        self.assertEqual(len(self.out.getvalue().splitlines()), 4)


class Logs(unittest.TestCase):
    def test_old_logs_go(self) -> None:
        place = support.folder(self)
        for number in range(40):
            (place / f"20200101-0000{number:02}-provision-1.log").write_text("")
        Log(place, "provision").close()
        self.assertLessEqual(len(list(place.glob("*.log"))), 21)


class Texts(unittest.TestCase):
    def test_sizes(self) -> None:
        for count, text in ((0, "0 B"), (999, "999 B"), (12_345, "12 kB"), (12_345_678, "12.3 MB")):
            self.assertEqual(progress.size_text(count), text)
        self.assertEqual(progress.size_text(2_300_000_000), "2.3 GB")

    def test_times(self) -> None:
        self.assertEqual(progress.time_text(41.2), "41 s")
        self.assertEqual(progress.time_text(185), "3 min 5 s")


if __name__ == "__main__":
    unittest.main()
