#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Break the protocol engine on purpose and see who notices.

Each mutant is one protocol bug that a person could have written. It is applied to a copy of the
source, in which the unit tests run and, if they notice nothing or if --both is given, the
simulator; a mutant that neither notices fails the run. Usage: mutants.py [--list] [--both]
[NAME ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from anchor import Crate, Lost, Place
from bugs import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
ENGINE = Path("drivers/rrds/proto")
WORK = ROOT / "build" / "mutants"
TRACEPOINTS = Path("drivers/rrds/tracepoints.h")
SEEDS = 600
NATIVE_SEEDS = 60
STEPS = 20_000


def run(command: list[str], cwd: Path, limit: float) -> tuple[int, str]:
    """Runs a command; exit status 124 means that it took too long."""
    env = dict(
        os.environ,
        RUST_BACKTRACE="0",
        CARGO_TARGET_DIR=str(WORK / "target"),
        # Nobody debugs a mutant.
        CARGO_PROFILE_DEV_DEBUG="0",
        CARGO_PROFILE_RELEASE_DEBUG="0",
    )
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            # What cargo has started, too: a mutant may loop.
            os.killpg(process.pid, signal.SIGKILL)
            return 124, "timed out"
    return process.returncode, output


def copy_source(target: Path) -> None:
    """Copies what the host build needs; as new, lest cargo takes a mutant of a last run for it."""
    for part in ("drivers/rrds/proto", "tools"):
        skip = shutil.ignore_patterns("target", "corpus", "__pycache__")
        shutil.copytree(ROOT / part, target / part, ignore=skip, copy_function=shutil.copyfile)
    # A test compares the engine's reasons with the names that the tracepoints have for them.
    shutil.copyfile(ROOT / TRACEPOINTS, target / TRACEPOINTS)


def tests(source: Path) -> str | None:
    """Runs the unit tests; returns who noticed, if anyone did."""
    command = ["cargo", "test", "--quiet", "-p", "rds_proto", "--lib"]
    code, output = run(command, source / "tools", 300)
    if code == 0:
        return None
    if "error: could not compile" in output or "error[" in output:
        raise SystemExit(f"mutants: a mutant does not compile:\n{output[-3000:]}")
    names = re.findall(r"^    (\S+::\S+)$", output, re.MULTILINE)
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - 1} more" if len(unique) > 1 else ""
    return (unique[0] if unique else "tests: " + ("time limit" if code == 124 else "abort")) + more


def simulate(source: Path) -> str | None:
    """Runs the simulator; returns the seed that failed, if one did."""
    build = ["cargo", "build", "--quiet", "--release", "-p", "rds_sim"]
    code, output = run(build, source / "tools", 600)
    if code != 0:
        raise SystemExit(f"mutants: the simulator does not compile:\n{output[-3000:]}")
    binary = str(WORK / "target" / "release" / "rds-sim")
    for worlds, seeds in (([], SEEDS), (["--native"], NATIVE_SEEDS)):
        numbers = ["--seeds", f"0..{seeds}", "--steps", str(STEPS)]
        code, output = run([binary, *worlds, *numbers], source, 300)
        if code != 0:
            seed = re.search(r"^seed (\d+) failed", output, re.MULTILINE)
            return " ".join([*worlds, f"seed {seed[1]}" if seed else "time limit"])
    return None


def places(tree: Path, mutants: Iterable[Mutant] = MUTANTS) -> dict[str, Place]:
    """Where each mutant is in a tree; ends with an error if the source has moved away from one."""
    engine = Crate(tree / ENGINE)
    found, lost = {}, []
    for m in mutants:
        try:
            found[m.name] = engine.find(m.where, m.before)
        except Lost as e:
            lost.append(f"mutants: {m.name}: {e}; give it a new place in tools/mutants/bugs.py")
    if lost:
        raise SystemExit("\n".join(lost))
    return found


def main() -> int:
    """Runs all mutants, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="list the mutants and what they break")
    parser.add_argument("--both", action="store_true", help="run the simulator in any case")
    parser.add_argument("names", nargs="*", help="mutants to run; all if none is named")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.names or m.name in options.names]
    if options.list:
        for m in chosen:
            print(f"{m.name:24} {m.where:28} {m.bug}")
        return 0
    places(ROOT)
    source = WORK / "source"
    shutil.rmtree(source, ignore_errors=True)
    copy_source(source)
    where = places(source)
    if found := tests(source) or simulate(source):
        print(f"mutants: the source fails without a mutant: {found}")
        return 1
    missed = 0
    for m in chosen:
        started = time.monotonic()
        path = where[m.name].file
        original = path.read_text()
        path.write_text(where[m.name].replaced(original, m.after))
        by_test = tests(source)
        by_sim = simulate(source) if options.both or not by_test else "not asked"
        path.write_text(original)
        caught = bool(by_test or by_sim)
        missed += not caught
        print(
            f"{'caught' if caught else 'MISSED'}  {m.name:22} {m.bug}\n"
            f"        test: {by_test or '-'}; simulator: {by_sim or '-'} "
            f"({time.monotonic() - started:.0f} s)",
            flush=True,
        )
    print(f"mutants: {len(chosen)} bugs, {len(chosen) - missed} caught, {missed} missed")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
