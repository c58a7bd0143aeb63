# SPDX-License-Identifier: GPL-2.0
"""What the host side tells the runner through the environment, checked once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class LabError(Exception):
    """A failure to show to the user: what, why, and what to do about it."""


@dataclass(frozen=True)
class Env:
    """Places and settings of this run; every one of them can be overridden for a test."""

    checkout: Path
    cache: Path
    kernel: Path
    release: str
    flavor: str = "stock"
    accel: str = ""
    verbose: bool = False
    terminal: bool = False
    cold: bool = False
    started: float = 0.0
    provision_seconds: float = 0.0

    @property
    def strict(self) -> bool:
        """Whether this is the kernel with all the checkers, which is several times slower."""
        return self.flavor == "strict"

    @property
    def slowness(self) -> int:
        """How much longer than on the stock kernel things may take here."""
        return 8 if self.strict else 1

    @property
    def modules(self) -> Path:
        """Where `make modules` leaves ours."""
        return self.checkout / "build" / ("strict" if self.strict else "modules")

    def variant(self, name: str) -> Path:
        """The folder of a further build of our modules."""
        return self.checkout / "build" / (f"strict-{name}" if self.strict else name)

    @property
    def stock_modules(self) -> Path:
        """The unpacked stock kernel's own modules, with depmod's files."""
        return self.kernel / "lib" / "modules" / self.release

    @property
    def vmlinuz(self) -> Path:
        return self.kernel / "vmlinuz"

    @property
    def logs(self) -> Path:
        return self.checkout / "build" / ("logs-strict" if self.strict else "logs")

    @property
    def tests(self) -> Path:
        return self.checkout / "tests"

    def check(self) -> None:
        """Complain about what is missing before a node finds out."""
        for path in (self.vmlinuz, self.stock_modules / "modules.dep"):
            if not path.is_file():
                raise LabError(f"{path} is missing: run `make distclean`, then try again")


def _variable(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise LabError(
            f"{name} is not set: start the runner by `make test`, `make demo` or `scripts/krdma`"
        )
    return value


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise LabError(f"{name} is {text!r}: it must be a number of seconds") from None


def from_environ(environ: Mapping[str, str] | None = None) -> Env:
    """The environment as scripts/krdma sets it inside the build root."""
    environ = os.environ if environ is None else environ
    accel = environ.get("KRDMA_ACCEL", "")
    if accel not in ("", "kvm", "tcg"):
        raise LabError(f"KRDMA_ACCEL is {accel!r}: it may be kvm or tcg")
    tty = environ.get("KRDMA_TTY", "")
    return Env(
        checkout=Path(__file__).resolve().parents[2],
        cache=Path(_variable(environ, "KRDMA_CACHE")),
        kernel=Path(_variable(environ, "KRDMA_KERNEL")),
        release=_variable(environ, "KRDMA_RELEASE"),
        flavor=environ.get("KRDMA_FLAVOR") or "stock",
        accel=accel,
        verbose=environ.get("V", "0") not in ("", "0"),
        terminal=tty == "1" if tty else sys.stdout.isatty(),
        cold=environ.get("KRDMA_COLD", "0") == "1",
        started=_number(environ, "KRDMA_STARTED", time.time()),
        provision_seconds=_number(environ, "KRDMA_PROVISION_SECONDS", 0.0),
    )
