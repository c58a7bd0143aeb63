#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Say how much of the protocol engine its own tests reach.

Runs the unit tests of rds_proto, built with instrumentation, and counts lines with code of the
engine that were executed. Lines of the tests themselves are not counted. Needs llvm-profdata and
llvm-cov of the LLVM that rustc was built with, by suffix (Debian: rustc 1.85 and llvm-19).
Usage: coverage.py [--least PERCENT] [--llvm SUFFIX] [--missed]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "drivers" / "rrds" / "proto"
WORK = ROOT / "build" / "coverage"


def tool(name: str, suffix: str) -> str:
    """Finds an LLVM tool, or says what is missing."""
    found = shutil.which(f"{name}{suffix}")
    if found is None:
        raise SystemExit(f"coverage: {name}{suffix} is missing; install llvm, or give --llvm")
    return found


def profile(suffix: str) -> dict[Path, dict[int, int]]:
    """Runs the tests and returns what llvm-cov knows of them."""
    shutil.rmtree(WORK / "raw", ignore_errors=True)
    env = dict(
        os.environ,
        RUSTFLAGS="-Cinstrument-coverage",
        LLVM_PROFILE_FILE=str(WORK / "raw" / "%m-%p.profraw"),
        CARGO_TARGET_DIR=str(WORK / "target"),
    )
    command = ["cargo", "test", "--locked", "-p", "rds_proto", "--lib", "--message-format=json"]
    result = subprocess.run(
        command, cwd=ROOT / "tools", env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    binary = ""
    for line in result.stdout.splitlines():
        if line.startswith("{") and (message := json.loads(line)).get("executable"):
            binary = message["executable"]
    merged = WORK / "merged.profdata"
    raw = [str(p) for p in (WORK / "raw").glob("*.profraw")]
    subprocess.run(
        [tool("llvm-profdata", suffix), "merge", "-sparse", *raw, "-o", str(merged)], check=True
    )
    lcov = subprocess.run(
        [tool("llvm-cov", suffix), "export", "-format=lcov", f"-instr-profile={merged}", binary],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    lines: dict[Path, dict[int, int]] = {}
    current: dict[int, int] = {}
    for line in lcov.splitlines():
        if line.startswith("SF:"):
            current = lines.setdefault(Path(line[3:]).resolve(), {})
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            current[int(number)] = max(current.get(int(number), 0), int(count))
    return lines


def tests_start(path: Path) -> int:
    """Number of the line at which the tests of a file start."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#[cfg(test)]") and path.name not in ("path.rs", "rds_proto.rs"):
            return number
    return sys.maxsize


def main() -> int:
    """Prints the figure of each file and of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--least", type=float, default=95.0, help="fail below this percentage")
    parser.add_argument("--llvm", default="-19", help="suffix of the LLVM tools (default -19)")
    parser.add_argument("--missed", action="store_true", help="list the lines not reached")
    options = parser.parse_args()
    covered = total = 0
    for path, lines in sorted(profile(options.llvm).items()):
        if PROTO not in path.parents or "tests" in path.parts or path.name == "tests.rs":
            continue
        end = tests_start(path)
        code = {n: c for n, c in lines.items() if n < end}
        if not code:
            continue
        hit = sum(1 for c in code.values() if c)
        covered, total = covered + hit, total + len(code)
        print(
            f"{100 * hit / len(code):6.1f} %  {hit:4} of {len(code):4}  {path.relative_to(PROTO)}"
        )
        if options.missed:
            text = path.read_text().splitlines()
            for number in sorted(n for n, c in code.items() if not c):
                print(f"            {number}: {text[number - 1].strip()}")
    percent = 100 * covered / total if total else 0.0
    print(f"coverage: {percent:.1f} % of {total} lines of rds_proto")
    return 0 if percent >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
