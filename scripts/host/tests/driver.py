# SPDX-License-Identifier: GPL-2.0
"""host.cli with the tools of fakebin/ in place of the machine's: for support.Fake.

FAKE_ETC stands for /etc/apt, FAKE_FREE for the bytes free on the disk, and FAKE_FREE_LATER for
those at every later look; fakebin/ knows FAKE_FAIL, FAKE_HOLD (a file: the build root is not done as
long as it exists), FAKE_SERIES, FAKE_RUSTC and FAKE_SYMBOL.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import support
from host import cache, mirror, runner, sandbox

runner.PATH = f"{support.TESTS / 'fakebin'}:{runner.PATH}"

# Only now: they take PATH as it is.
from host import cli, hosttools

etc = Path(os.environ["FAKE_ETC"])
real_candidates = mirror.candidates
mirror.candidates = lambda chosen: real_candidates(chosen, etc, etc / "Debian.info")
mirror.KEYRING = "/dev/null"
hosttools.COMMANDS = {name: name for name in ("mmdebstrap", "dpkg-deb")}
if "FAKE_FREE" in os.environ:
    looks = [int(os.environ["FAKE_FREE"])]
    if "FAKE_FREE_LATER" in os.environ:
        looks.append(int(os.environ["FAKE_FREE_LATER"]))
    cache.free_bytes = lambda _: looks.pop(0) if len(looks) > 1 else looks[0]


def run_outside(_config: Any, _root: Any, step: Any, run: Any, argv: list[str]) -> list[str]:
    """A fake root has no tools in it: use the fake ones outside."""
    return run.run(step, argv)


sandbox.run = run_outside

real_init = runner.Runner.__init__


def init(self: runner.Runner, *args: Any) -> None:
    """Hand the fake tools their settings, which are kept from real ones."""
    real_init(self, *args)
    fakes = {name: value for name, value in os.environ.items() if name.startswith("FAKE_")}
    self.env.update(fakes, PATH=runner.PATH)


runner.Runner.__init__ = init

sys.exit(cli.main(sys.argv[1:]))
