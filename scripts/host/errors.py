# SPDX-License-Identifier: GPL-2.0
"""What can go wrong, said so that a person knows the thing, the reason and what to do."""

from __future__ import annotations


class Failure(Exception):
    """An expected failure: `what` went wrong, `why`, and what to `do` about it."""

    def __init__(self, what: str, why: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do

    def text(self) -> str:
        """The failure as one line of thing and reason, and one of advice."""
        line = f"{self.what}: {self.why}" if self.why else self.what
        return f"{line}\n  {self.do}" if self.do else line


class CommandFailed(Failure):
    """A command exited with an error; the log holds everything it printed."""

    def __init__(self, argv: list[str], status: int, tail: list[str]) -> None:
        super().__init__(f"{argv[0].rsplit('/', 1)[-1]} failed", f"exit status {status}")
        self.argv = argv
        self.status = status
        self.tail = tail


class Cancelled(Exception):
    """The work was stopped from outside: by Ctrl-C, by SIGTERM, or as another step failed."""
