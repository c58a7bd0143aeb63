# SPDX-License-Identifier: GPL-2.0
"""ruff on every Python file.

Debian 13 does not package ruff, so the version pinned in requirements.txt is installed once into
the cache, its hash checked. That it cannot be had is a failure with its reason: a check that
is left out in silence would be worse than none.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

from check.core import Check, Failed, Skipped, Tree, environment, start

_PLACE = re.compile(r"\S+?:\d+:")
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def ruff() -> Path:
    """The pinned ruff, installed now if it is not there yet."""
    pinned = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    target = Path(environment("KRDMA_CACHE")) / f"check-tools-{pinned}"
    program = target / "bin" / "ruff"
    if not program.is_file():
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
        options = ["--disable-pip-version-check", "--no-compile", "--no-cache-dir", "--retries=2"]
        if os.geteuid() == 0:
            options.append("--root-user-action=ignore")
        done = start([*pip, *options, "--only-binary=:all:", "-r", REQUIREMENTS, "--target", fresh])
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Failed(
                "could not install ruff from the Python package index; is it reachable from here? "
                "(proxy variables and SSL_CERT_FILE are passed on)",
                done.stdout.splitlines()[-15:],
            )
        try:
            fresh.rename(target)
        except OSError:  # another run was faster
            shutil.rmtree(fresh, ignore_errors=True)
    return program


def run(tree: Tree) -> list[str]:
    names = tree.files(".py")
    if not names:
        raise Skipped("no Python file")
    program = ruff()
    options = {"cwd": tree.root, "env": {**os.environ, "RUFF_NO_CACHE": "true"}}
    found = []
    for what in (["check"], ["format", "--check"]):
        done = start([program, *what, "--output-format=concise", *names], **options)
        places = [line for line in done.stdout.splitlines() if _PLACE.match(line)]
        if done.returncode != 0 and not places:
            raise Failed(f"ruff {what[0]} did not run", done.stdout.splitlines())
        found += places
    return found


CHECK = Check("ruff", "ruff check and ruff format on every Python file", run)
