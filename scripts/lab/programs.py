# SPDX-License-Identifier: GPL-2.0
"""Programs of tools/ and tests/programs/ that nodes carry: built before the first test that wants
them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from .env import Env, LabError
from .hosttests import cargo_environment

# Small and without debug information: each node has it in memory. tools/Cargo.toml says more.
PROFILE = "node"


def _is_tests(env: Env, name: str) -> bool:
    """Whether it is one of tests/programs, in C, and not one of tools/, in Rust."""
    return (env.tests / "programs" / name).is_dir()


def path(env: Env, name: str) -> Path:
    if _is_tests(env, name):
        return env.checkout / "build" / "programs" / name
    return env.checkout / "build" / "tools" / PROFILE / name


def insns(env: Env) -> Path:
    """The plugin of QEMU that counts instructions."""
    return env.checkout / "build" / "insns.so"


async def _run(env: Env, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=env.checkout,
        env={**os.environ, **cargo_environment(env)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        last = " / ".join(output.decode(errors="replace").strip().split("\n")[-5:])
        raise LabError(f"{' '.join(command)} failed: {last}")


async def build(env: Env, names: Sequence[str], *, counts: bool = False) -> None:
    """Quick where nothing has changed. With the crates in the cache it needs no network. With `counts`,
    the plugin that counts instructions is built, too.
    """
    tools = [name for name in names if not _is_tests(env, name)]
    tests = [f"build/programs/{name}" for name in names if _is_tests(env, name)]
    if counts:
        tests.append(str(insns(env).relative_to(env.checkout)))
    if tools:
        bins = [word for name in tools for word in ("--bin", name)]
        manifest = str(env.checkout / "tools" / "Cargo.toml")
        where = ["--profile", PROFILE, "--locked", "--manifest-path", manifest]
        await _run(env, "cargo", "build", *where, *bins)
    if tests:
        await _run(env, "make", *tests)
