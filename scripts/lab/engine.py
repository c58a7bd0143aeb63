# SPDX-License-Identifier: GPL-2.0
"""What is done to the protocol engine beyond its unit tests: the simulator, fuzzing, coverage, made-up
bugs, and the search for panics. `make test` runs a slice of it; each has a make target of its own
for the full counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .env import Env, LabError
from .hosttests import Say, cargo_environment, run_shown
from .ktap import Count

# A seed decides a world; what a step is, is in tools/sim.
STEPS = 100_000
SEEDS = 1000
LONG_SEEDS = 10_000
NATIVE_SEEDS = 30
# Of both ends together, for one of 16 messages of 64 bytes in a packet: the build root's compiler makes it 555 to 560.
MOST = 600
FUZZ_SECONDS = 5
LONG_FUZZ_SECONDS = 600
# One that the unit tests notice; all are looked up in the source.
MUTANT = "fragment-size"


@dataclass(frozen=True)
class Work:
    """One program of tools/: what it shows, and how it is run."""

    title: str
    command: Callable[[Env], list[str]]


def _sim(seeds: int, *more: str) -> Callable[[Env], list[str]]:
    def command(env: Env) -> list[str]:
        manifest = str(env.checkout / "tools" / "Cargo.toml")
        cargo = ["cargo", "run", "--quiet", "--release", "--locked", "--manifest-path", manifest]
        jobs = str(len(os.sched_getaffinity(0)))
        numbers = ["--seeds", f"0..{seeds}", "--steps", str(STEPS), "--jobs", jobs]
        return [*cargo, "-p", "rds_sim", "--bin", "rds-sim", "--", *more, *numbers]

    return command


def _figures(env: Env) -> list[str]:
    manifest = str(env.checkout / "tools" / "Cargo.toml")
    cargo = ["cargo", "run", "--quiet", "--release", "--locked", "--manifest-path", manifest]
    return [*cargo, "-p", "rds_figures", "--", str(env.checkout / "build" / "figures")]


def _cost(env: Env) -> list[str]:
    manifest = str(env.checkout / "tools" / "Cargo.toml")
    cargo = ["cargo", "run", "--quiet", "--release", "--locked", "--manifest-path", manifest]
    return [*cargo, "-p", "rds_sim", "--example", "native_cost", "--", str(MOST)]


def _script(*path: str, arguments: Sequence[str] = ()) -> Callable[[Env], list[str]]:
    def command(env: Env) -> list[str]:
        script = str(env.checkout.joinpath("tools", *path))
        return [*([sys.executable] if script.endswith(".py") else []), script, *arguments]

    return command


def _fuzz(seconds: int) -> Callable[[Env], list[str]]:
    return lambda env: [*_script("fuzz", "run.sh")(env), str(seconds)]


def _asked_seconds(default: int) -> int:
    text = os.environ.get("FUZZ_SECONDS") or str(default)
    if not text.isdigit() or not int(text):
        raise LabError(f"FUZZ_SECONDS is {text!r}: it must be a number of seconds for each target")
    return int(text)


# The slice that `make test` takes.
TEST = (
    Work(f"simulator: {SEEDS} worlds of {STEPS} steps", _sim(SEEDS)),
    Work("coverage of the protocol engine by its own tests", _script("coverage", "coverage.py")),
    Work("no panic in the protocol engine's object code", _script("panics", "check.sh")),
    Work(f"fuzzing: {FUZZ_SECONDS} s each target", _fuzz(FUZZ_SECONDS)),
    Work(f"a message of the native protocol takes at most {MOST} instructions", _cost),
    Work("a bug made on purpose", _script("mutants", "mutants.py", arguments=[MUTANT])),
    Work(
        f"simulator: {NATIVE_SEEDS} worlds of the native protocol, of {STEPS} steps",
        _sim(NATIVE_SEEDS, "--native"),
    ),
)


def chosen(name: str) -> Work:
    """What `make NAME` runs."""
    if name == "sim":
        return Work(f"simulator: {LONG_SEEDS} worlds of {STEPS} steps", _sim(LONG_SEEDS))
    if name == "fuzz":
        seconds = _asked_seconds(LONG_FUZZ_SECONDS)
        return Work(f"fuzzing: {seconds} s each target", _fuzz(seconds))
    if name == "mutants":
        return Work("made-up bugs", _script("mutants", "mutants.py"))
    if name == "figures":
        return Work("figures in build/figures", _figures)
    assert name == "coverage"
    return TEST[1]


NAMES = ("sim", "fuzz", "mutants", "coverage", "figures")


def run(env: Env, say: Say, works: Sequence[Work] = TEST) -> Count:
    """Run the programs with their output shown; each is one result."""
    total = Count()
    for work in works:
        status = run_shown(work.command(env), env, say, cargo_environment(env))
        say(f"{'not ok' if status else 'ok'} {work.title}")
        total += Count(failed=1) if status else Count(passed=1)
    return total


def main(env: Env, name: str) -> int:
    total = run(env, lambda line: print(line, flush=True), [chosen(name)])
    return 1 if total.failed else 0
