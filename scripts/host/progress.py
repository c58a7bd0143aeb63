# SPDX-License-Identifier: GPL-2.0
"""Telling the user where provisioning is, and keeping the log of everything that was printed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

# How many lines of a failed step the user is shown.
TAIL = 15
# Plain output says this often that a long step still runs.
QUIET_SECONDS = 30.0
_REDRAW_SECONDS = 0.2
_KEPT_LOGS = 20
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def size_text(count: float) -> str:
    """Bytes as a person reads them, in powers of ten as disks and mirrors count."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit != "MB" else f"{count:.1f} MB"
        count /= 1000
    return f"{count:.1f} GB"


def time_text(seconds: float) -> str:
    """Seconds, and minutes from two on."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def clean(text: str) -> str:
    """A line of a command's output without what would move the cursor."""
    return _CONTROL.sub("", text.replace("\t", " ")).strip()


class Log:
    """The file with everything that the commands of one run print."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        old = sorted(folder.glob("*.log"))
        for path in old[: max(0, len(old) - _KEPT_LOGS + 1)]:
            path.unlink(missing_ok=True)
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        self.path = folder / f"{stamp}.{int(now * 1000) % 1000:03}-{name}-{os.getpid()}.log"
        self._file = self.path.open("w", encoding="utf-8", errors="replace", buffering=1)
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock:
            self._file.write(line + "\n")

    def close(self) -> None:
        self._file.close()


class Step:
    """One step of provisioning while it runs."""

    def __init__(self, number: int, title: str, log: Log, echo: Callable[[str], None]) -> None:
        self.number = number
        self.title = title
        self.begun = time.monotonic()
        self.last = ""
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.measure: Callable[[], int] | None = None
        self.result = ""
        # How many lines the work will print, about; with it the user sees a share of it done.
        self.expected = 0
        self.lines = 0
        self._log = log
        self._echo = echo

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def note(self, text: str) -> None:
        """Something for the log alone."""
        for line in text.splitlines():
            self._log.write(f"[{self.number}] {line}")

    def line(self, text: str) -> None:
        """A line that a command printed."""
        self.lines += 1
        self._log.write(f"[{self.number}] {text}")
        self._echo(text)
        shown = clean(text)
        if shown:
            self.last = shown
            self.tail.append(shown)


class Display:
    """Draws one live line on a terminal; elsewhere prints plain lines."""

    def __init__(
        self,
        log: Log,
        steps: int,
        out: IO[str] = sys.stderr,
        env: Mapping[str, str] = os.environ,
        verbose: bool = False,
        tty: bool | None = None,
    ) -> None:
        self.log = log
        self.steps = steps
        self.seconds: dict[str, float] = {}
        self._out = out
        self._tty = out.isatty() if tty is None else tty
        self._live = self._tty and not verbose and env.get("TERM") != "dumb"
        self._colour = self._tty and "NO_COLOR" not in env and env.get("TERM") != "dumb"
        self._verbose = verbose
        self._lock = threading.RLock()
        self._running: list[Step] = []
        self._drawn = False
        self._stop = threading.Event()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the display alive meanwhile."""
        ticker = threading.Thread(target=self._tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            self._stop.set()
            ticker.join()
            with self._lock:
                self._wipe()

    @contextlib.contextmanager
    def step(self, number: int, title: str) -> Iterator[Step]:
        """Announce a step, show it while it runs, and leave a line when it is done."""
        step = Step(number, title, self.log, self._echo)
        self.log.write(f"[{number}] === {title}")
        with self._lock:
            self._running.append(step)
            if not self._live:
                self._print(f"[{number}/{self.steps}] {title} ...")
        try:
            yield step
        except BaseException:
            with self._lock:
                self._running.remove(step)
            raise
        self.seconds[title] = step.seconds
        with self._lock:
            self._running.remove(step)
            self.say(self._text(step, done=True))

    def say(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._wipe()
            self._print(text)

    def _echo(self, text: str) -> None:
        if self._verbose:
            self.say(text)

    def _print(self, text: str) -> None:
        self.log.write(text)
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text + "\n")
            self._out.flush()

    def _text(self, step: Step, done: bool = False) -> str:
        """[3/8] build root  12.3 MB  41 s  <what it says>"""
        parts = [f"[{step.number}/{self.steps}] {step.title:<22}"]
        if step.measure:
            with contextlib.suppress(OSError):
                parts.append(f"{size_text(step.measure()):>9}")
        if step.expected and not done:
            parts.append(f"{min(99, 100 * step.lines // step.expected):>3} %")
        parts.append(f"{time_text(step.seconds):>6}")
        if done:
            mark = "\x1b[32mdone\x1b[0m" if self._colour else "done"
            parts.append(mark)
            if step.result:
                parts.append(step.result)
        elif step.last:
            parts.append(step.last)
        return "  ".join(parts)

    def _tick(self) -> None:
        """Redraw on a terminal; elsewhere say now and then that a step still runs."""
        told: dict[Step, float] = {}
        while not self._stop.wait(_REDRAW_SECONDS):
            with self._lock:
                if self._live:
                    self._draw()
                    continue
                for step in self._running:
                    if step.seconds - told.get(step, 0.0) >= QUIET_SECONDS:
                        told[step] = step.seconds
                        self._print(self._text(step))

    def _draw(self) -> None:
        if not self._running:
            return
        width = shutil.get_terminal_size().columns - 1
        line = self._text(min(self._running, key=lambda step: step.begun))
        self._out.write("\r\x1b[K" + line[:width])
        self._out.flush()
        self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._drawn = False
