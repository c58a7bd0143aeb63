# SPDX-License-Identifier: GPL-2.0
"""What the user may choose through the environment, and the paths that follow from it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from host.errors import Failure

DEFAULT_SERIES = "7.3"
DEFAULT_SUITE = "trixie"
# Which kernel the commands are about: the distribution's own, or the one of strict.py.
FLAVORS = ("stock", "strict")


@dataclass(frozen=True)
class Config:
    """One run's choices; `started` is when the user's command began (epoch seconds)."""

    checkout: Path
    cache: Path
    series: str = DEFAULT_SERIES
    suite: str = DEFAULT_SUITE
    mirror: str = ""
    flavor: str = FLAVORS[0]
    verbose: bool = False
    started: float = field(default_factory=time.time)

    @property
    def log_dir(self) -> Path:
        return self.cache / "log"

    @property
    def suites(self) -> list[str]:
        """The suites a build root and a kernel may come from, oldest rules first."""
        return [self.suite, f"{self.suite}-updates", f"{self.suite}-backports"]


def cache_dir(env: Mapping[str, str]) -> Path:
    """KRDMA_CACHE, else the XDG cache folder's krdma."""
    if env.get("KRDMA_CACHE"):
        path = Path(env["KRDMA_CACHE"])
        if not path.is_absolute():
            raise Failure(
                "KRDMA_CACHE", f"{path} is not an absolute path", "Give it as an absolute path."
            )
        return Path(os.path.normpath(path))
    xdg = env.get("XDG_CACHE_HOME", "")
    if xdg.startswith("/"):
        return Path(xdg) / "krdma"
    home = env.get("HOME", "")
    if not home.startswith("/"):
        raise Failure(
            "no place for the cache",
            "neither KRDMA_CACHE, XDG_CACHE_HOME nor HOME is set",
            "Set KRDMA_CACHE to a folder with room for it.",
        )
    return Path(home) / ".cache" / "krdma"


def load(env: Mapping[str, str] = os.environ) -> Config:
    """Read the environment once; the rest of the program asks the Config only."""
    checkout = Path(__file__).resolve().parents[2]
    series = env.get("KRDMA_SERIES") or DEFAULT_SERIES
    if not re.fullmatch(r"\d+\.\d+", series):
        raise Failure(
            "KRDMA_SERIES",
            f"{series!r} is not a kernel series",
            f"Give it as major.minor, such as {DEFAULT_SERIES}.",
        )
    suite = env.get("KRDMA_SUITE") or DEFAULT_SUITE
    if not re.fullmatch(r"[a-z][a-z0-9-]*", suite):
        raise Failure(
            "KRDMA_SUITE", f"{suite!r} is not a Debian suite", f"Give it as {DEFAULT_SUITE}."
        )
    flavor = env.get("KRDMA_FLAVOR") or FLAVORS[0]
    if flavor not in FLAVORS:
        raise Failure(
            "KRDMA_FLAVOR", f"no kernel is called {flavor!r}", f"Give {' or '.join(FLAVORS)}."
        )
    try:
        started = float(env.get("KRDMA_STARTED", ""))
    except ValueError:
        started = time.time()
    # Two colons or blanks in it would break PATH-like lists and make's own variables.
    cache = cache_dir(env)
    for name, path in (("the checkout", checkout), ("the cache", cache)):
        if re.search(r"[\s:#$%'\"\\;]", str(path)):
            raise Failure(
                f"{name} lies at {path}",
                "make and the kernel's build cannot work in a path with blanks or : # $ % ' \" ;",
                "Move it to a plain path"
                + (" (KRDMA_CACHE chooses the cache)." if path == cache else "."),
            )
    return Config(
        checkout=checkout,
        cache=cache,
        series=series,
        suite=suite,
        mirror=env.get("KRDMA_MIRROR", "").rstrip("/"),
        flavor=flavor,
        verbose=env.get("V", "0") not in ("", "0"),
        started=started,
    )
