# SPDX-License-Identifier: GPL-2.0
"""Programs of tools/ that nodes carry: built before the first test that wants them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from .env import Env, LabError
from .hosttests import cargo_environment

# Small and without debug information: each node has it in memory. tools/Cargo.toml says more.
PROFILE = "node"


def path(env: Env, name: str) -> Path:
    return env.checkout / "build" / "tools" / PROFILE / name


async def build(env: Env, names: Iterable[str]) -> None:
    """Quick where nothing has changed. With the crates in the cache it needs no network."""
    bins = [word for name in names for word in ("--bin", name)]
    if not bins:
        return
    manifest = str(env.checkout / "tools" / "Cargo.toml")
    where = ["--profile", PROFILE, "--locked", "--manifest-path", manifest]
    process = await asyncio.create_subprocess_exec(
        *("cargo", "build", *where, *bins),
        env={**os.environ, **cargo_environment(env)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        last = " / ".join(output.decode(errors="replace").strip().split("\n")[-5:])
        raise LabError(f"cargo build {' '.join(bins)} failed: {last}")
