# SPDX-License-Identifier: GPL-2.0
"""The tests that need no node: static checks, Python unit tests, the Rust workspace. Their results
are counted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable

from .env import Env, LabError
from .ktap import Count

Say = Callable[[str], None]

_RAN = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
_ENDING = re.compile(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", re.MULTILINE)
_CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
UNIT_TESTS = (
    "scripts/host/tests",
    "scripts/lab/tests",
    "scripts/check/tests",
    "tools/mutants/tests",
)


def _run(
    command: list[str], env: Env, say: Say, extra: dict[str, str] | None = None, show: bool = False
) -> tuple[int, str]:
    """A command's status and whole output; shown as it comes, if asked or if V=1."""
    process = subprocess.Popen(
        command,
        cwd=env.checkout,
        env={**os.environ, **(extra or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if show or env.verbose:
            say(line.rstrip("\n"))
    return process.wait(), "".join(lines)


def run_shown(command: list[str], env: Env, say: Say, extra: dict[str, str]) -> int:
    """A command's status; its output is shown as it comes."""
    return _run(command, env, say, extra, show=True)[0]


def cargo_environment(env: Env) -> dict[str, str]:
    """What keeps cargo's files out of the checkout's sources."""
    return {
        "CARGO_TARGET_DIR": str(env.checkout / "build" / "tools"),
        "CARGO_TERM_COLOR": "never",
        "CARGO_HOME": os.environ.get("CARGO_HOME") or str(env.cache / "cargo"),
    }


def _show_failure(output: str, env: Env, say: Say, shown: bool = False) -> None:
    if not (shown or env.verbose):
        for line in output.rstrip("\n").split("\n"):
            say(line)


def count_checks(output: str) -> Count:
    """The KTAP-like lines of `python3 -m check all`."""
    total = Count()
    for line in output.split("\n"):
        if re.match(r"(ok|skip)\b", line):
            skipped = line.startswith("skip") or re.search(r"#\s*SKIP\b", line, re.IGNORECASE)
            total += Count(skipped=1) if skipped else Count(passed=1)
        elif line.startswith("not ok"):
            total += Count(failed=1)
    return total


def count_unittest(output: str, status: int) -> Count:
    """The closing lines of unittest."""
    ran, ending = _RAN.search(output), _ENDING.search(output)
    if not ran or not ending or not int(ran.group(1)):
        return Count(failed=1)
    details = dict(re.findall(r"([a-z ]+)=(\d+)", ending.group(2) or ""))
    numbers = {name.strip(): int(number) for name, number in details.items()}
    bad = sum(numbers.get(name, 0) for name in ("failures", "errors", "unexpected successes"))
    skipped = numbers.get("skipped", 0) + numbers.get("expected failures", 0)
    if status and not bad:
        bad = 1
    return Count(max(int(ran.group(1)) - bad - skipped, 0), bad, skipped)


def count_cargo(output: str, status: int) -> Count:
    """The closing lines of `cargo test`, one for each test program."""
    total = Count()
    for passed, failed, ignored in _CARGO.findall(output):
        total += Count(int(passed), int(failed), int(ignored))
    if status and not total.failed:
        total += Count(failed=1)
    return total


def static_checks(env: Env, say: Say) -> Count:
    status, output = _run([sys.executable, "-m", "check", "all"], env, say, show=True)
    total = count_checks(output)
    if status and not total.failed:
        say(f"not ok check - it ended with status {status} and named no failure")
        total += Count(failed=1)
    return total


def unit_tests(env: Env, say: Say, folders: Iterable[str] = UNIT_TESTS) -> Count:
    total = Count()
    for folder in folders:
        if not any((env.checkout / folder).glob("test_*.py")):
            continue
        command = [sys.executable, "-m", "unittest", "discover", "-s", folder]
        if (env.checkout / folder / "__init__.py").is_file():
            command += ["-t", "scripts"]
        status, output = _run(command, env, say)
        count = count_unittest(output, status)
        if count.failed:
            _show_failure(output, env, say)
        say(f"{'not ok' if count.failed else 'ok'} {folder}: {count}")
        total += count
    return total


def cargo_tests(env: Env, say: Say) -> Count:
    """Fetching is apart, so that a machine without network tests with the crates that the cache
    has.
    """
    manifest = env.checkout / "tools" / "Cargo.toml"
    if not manifest.is_file():
        return Count()
    extra = cargo_environment(env)
    where = ["--locked", "--manifest-path", str(manifest)]
    fetched, why = _run(["cargo", "fetch", *where], env, say, extra)
    offline = ["--offline"] if fetched else []
    status, output = _run(["cargo", "test", *where, *offline, "--workspace"], env, say, extra)
    count = count_cargo(output, status)
    if count.failed:
        _show_failure((why if fetched else "") + output, env, say)
    say(f"{'not ok' if count.failed else 'ok'} tools: {count}")
    return count


def build_modules(env: Env, say: Say, samples: str = "") -> Count:
    """`make modules`, as a user runs it, or with some samples only."""
    extra = {"KRDMA_SAMPLES": samples} if samples else None
    status, output = _run(["make", "modules"], env, say, extra)
    if status:
        _show_failure(output, env, say)
        say(f"not ok make modules - it ended with status {status}")
        return Count(failed=1)
    say("ok make modules")
    return Count(passed=1)


def need_modules(env: Env, samples: str) -> None:
    """`make modules` with some samples only, for what can do nothing without."""
    lines: list[str] = []
    if build_modules(env, lines.append, samples).failed:
        raise LabError("the modules do not build:\n" + "\n".join(lines))
