# SPDX-License-Identifier: GPL-2.0
"""Running the commands of the steps: in namespaces, with their output in the log."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from host.errors import Cancelled, CommandFailed, Failure
from host.namespace import Namespaces, Plan
from host.progress import TAIL, Step

# The environment of the machine's own tools: nothing of the user's settings changes a result.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


def proxies(env: Mapping[str, str]) -> dict[str, str]:
    """The proxy settings, in both spellings."""
    names = [*PROXIES, *(name.upper() for name in PROXIES)]
    return {name: env[name] for name in names if env.get(name)}


class Runner:
    """Runs commands for steps; one for a whole provisioning."""

    def __init__(self, tmp: Path, namespaces: Namespaces) -> None:
        self.namespaces = namespaces
        self.env = {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": str(tmp),
            "TMPDIR": str(tmp),
            "DEBIAN_FRONTEND": "noninteractive",
            **proxies(os.environ),
        }

    def run(
        self,
        step: Step,
        argv: Sequence[str],
        *,
        cwd: Path | str = "/",
        env: Mapping[str, str] | None = None,
        root: str = "",
        mounts: list[dict[str, Any]] | None = None,
        quiet: bool = False,
        finish: bool = False,
    ) -> list[str]:
        """Run a command; its lines. Raises CommandFailed with the last of them.

        `finish` is for what changes the machine itself: Ctrl-C comes after its end.
        """
        plan = Plan(argv, str(cwd), {**self.env, **(env or {})}, root, mounts or [])
        if not quiet:
            step.note(f"$ {shlex.join(argv)}")
        # A session of its own: Ctrl-C is for us, and we end what runs here.
        process = self.namespaces.start(
            plan,
            finish,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        lines: list[str] = []
        try:
            for text in split_lines(process.stdout):
                lines.append(text)
                if not quiet:
                    step.line(text)
            status = process.wait()
        except Failure:
            if self.namespaces.cancelled.is_set():
                raise Cancelled from None
            raise
        finally:
            process.kill()
            self.namespaces.ended(process)
        if self.namespaces.cancelled.is_set():
            raise Cancelled
        if status:
            if quiet:
                for text in lines:
                    step.line(text)
            raise CommandFailed(list(argv), status, lines[-TAIL:])
        return lines


def split_lines(stream: IO[bytes]) -> Iterator[str]:
    """The lines of a stream as they come, taking a progress bar's carriage return as an end too."""
    rest = b""
    while data := os.read(stream.fileno(), 65536):
        *whole, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")
