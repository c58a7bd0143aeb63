# SPDX-License-Identifier: GPL-2.0
"""Signals and the terminal while a command has it: Ctrl-C is the command's, and we end with it."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import unittest

import support
from host import cli

_ENTER = """
import sys
sys.path.insert(0, sys.argv[1])
from host import enter
from host.namespace import Plan
plan = Plan(["sh", "-c", sys.argv[2]], "/", {"PATH": "/usr/bin:/bin"})
enter.SAME_SECONDS = float(sys.argv[3])
sys.exit(enter.run(plan))
"""


class Terminal:
    """enter.run on a terminal of its own."""

    def __init__(self, test: unittest.TestCase, script: str, same_seconds: float = 600) -> None:
        support.needs_namespaces(test)
        argv = [sys.executable, "-B", "-c", _ENTER, str(support.SCRIPTS), script, str(same_seconds)]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.said = b""
        test.addCleanup(os.close, self.fd)
        self.read_until(b"up")

    def read_until(self, text: bytes) -> None:
        with contextlib.suppress(OSError):
            while text not in self.said:
                self.said += os.read(self.fd, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def status(self) -> int:
        """Read to the end; how it ended."""
        with contextlib.suppress(OSError):
            while data := os.read(self.fd, 4096):
                self.said += data
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Signals(unittest.TestCase):
    def test_ctrl_c_ends_the_command(self) -> None:
        # A shell that gets it between two commands starts the next one all the same.
        terminal = Terminal(self, "exec yes up")
        terminal.type(b"\x03")
        self.assertEqual(terminal.status(), 128 + signal.SIGINT)
        self.assertNotIn(b"Traceback", terminal.said)

    def test_command_may_clean_up(self) -> None:
        terminal = Terminal(self, "trap 'echo clean; exit 9' INT; echo up; sleep 600 & wait")
        terminal.type(b"\x03")
        self.assertEqual(terminal.status(), 9)
        self.assertEqual(terminal.said.count(b"clean"), 1)

    def test_second_ctrl_c_kills(self) -> None:
        terminal = Terminal(self, "trap 'echo no' INT; echo up; while :; do sleep 1; done", 0)
        terminal.type(b"\x03")
        terminal.read_until(b"no")
        terminal.type(b"\x03")
        self.assertEqual(terminal.status(), 128 + signal.SIGKILL)

    def test_sigterm_is_passed_on(self) -> None:
        terminal = Terminal(self, "trap 'echo clean; exit 9' TERM; echo up; sleep 600 & wait")
        os.kill(terminal.pid, signal.SIGTERM)
        self.assertEqual(terminal.status(), 9)

    def test_same_request_twice_is_one(self) -> None:
        script = "trap 'echo no; sleep 1; exit 9' TERM HUP; echo up; sleep 600 & wait"
        terminal = Terminal(self, script)
        os.kill(terminal.pid, signal.SIGTERM)
        os.kill(terminal.pid, signal.SIGTERM)
        os.kill(terminal.pid, signal.SIGHUP)
        self.assertEqual(terminal.status(), 9)
        self.assertNotIn(b"Traceback", terminal.said)

    def test_sigint_to_us_alone_is_passed_on(self) -> None:
        support.needs_namespaces(self)
        # Without a terminal nobody but us sends it to the command.
        argv = [sys.executable, "-B", "-c", _ENTER, str(support.SCRIPTS)]
        shell = "trap 'exit 9' INT; echo up; sleep 600 & wait"
        process = subprocess.Popen(
            [*argv, shell, "600"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"up\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(), 9)

    def test_hang_up_ends_it(self) -> None:
        terminal = Terminal(self, "echo up; sleep 600")
        os.kill(terminal.pid, signal.SIGHUP)
        self.assertEqual(terminal.status(), 128 + signal.SIGHUP)

    def test_terminal_is_the_users(self) -> None:
        terminal = Terminal(self, "test -t 0 && test -t 1 && echo up; read a; echo got $a; exit 4")
        terminal.type(b"hello\n")
        self.assertEqual(terminal.status(), 4)
        self.assertIn(b"got hello", terminal.said)


class Inside(unittest.TestCase):
    def test_commands_within_the_root_just_run(self) -> None:
        env = {**os.environ, "KRDMA_INSIDE": "1", "KRDMA_CACHE": "/nonexistent/krdma"}
        done = subprocess.run(
            [str(support.SCRIPTS / "krdma"), "enter", "--", "sh", "-c", "echo here; exit 6"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (6, "here\n"))

    def test_every_command_is_in_the_help(self) -> None:
        for name in (*cli.COMMANDS, *cli.INSIDE):
            self.assertIn(f"  {name} ", cli.USAGE)


if __name__ == "__main__":
    unittest.main()
