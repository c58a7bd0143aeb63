# SPDX-License-Identifier: GPL-2.0
"""The build root: a Debian with the toolchain, made by mmdebstrap in namespaces of its own."""

from __future__ import annotations

from pathlib import Path

from host import cache, mirror
from host.apt import Apt, apt_reason
from host.config import Config
from host.errors import CommandFailed, Failure
from host.packages import FROM_SUITE, PACKAGES
from host.progress import Step
from host.runner import Runner

# Raised when the recipe below changes in a way that the package list does not show.
RECIPE = 1

# What no build and no test reads.
_EXCLUDED = (
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/doc/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
)
# Files that sandbox.py mounts the machine's own over; they must be there to be mounted on.
_MOUNT_POINTS = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf")


def path(config: Config) -> Path:
    """Where this run's root is, or will be."""
    return config.cache / f"root-{config.suite}-{cache.key(RECIPE, config.suites, PACKAGES)}"


def build(config: Config, step: Step, runner: Runner, apt: Apt, address: str) -> None:
    """Make the root under tmp/ and publish it."""
    final = path(config)
    work = config.cache / "tmp" / final.name
    argv = [
        "mmdebstrap",
        "--mode=root",
        # What dpkg says, for the display and for the log.
        "--verbose",
        "--variant=apt",
        "--architectures=amd64",
        f"--include={','.join(PACKAGES)}",
        "--dpkgopt=force-unsafe-io",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=APT::Sandbox::User "root"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
        *(f"--aptopt={line.rstrip(';')}" for line in apt.acquire),
        "--skip=cleanup/apt/lists",
        config.suite,
        str(work),
        *mirror.source_lines(address, config.suites),
    ]
    try:
        runner.run(step, argv)
    except CommandFailed as error:
        text = "\n".join(error.tail)
        if "Failed to fetch" in text or "Unable to fetch" in text:
            error.what = f"download failed: {apt_reason(error.tail)}"
            error.do = "Check the network, or set KRDMA_MIRROR to another Debian mirror."
        raise
    finish(work, step, runner)
    cache.publish(work, final)


def finish(work: Path, step: Step, runner: Runner) -> None:
    """Trim the root, prepare its mount points, and check where its compilers came from."""
    script = f"""
        set -e
        cd {work}
        rm -rf var/cache/apt/archives/*.deb var/cache/apt/*.bin var/lib/apt/lists/*
        rm -f {" ".join(_MOUNT_POINTS)}
        : | tee {" ".join(_MOUNT_POINTS)}
        mkdir -p sys proc dev tmp run
    """
    runner.run(step, ["sh", "-c", script], quiet=True)
    query = ["dpkg-query", f"--admindir={work}/var/lib/dpkg", "-Wf", "${Package} ${Version}\\n"]
    lines = runner.run(step, [*query, *FROM_SUITE], quiet=True)
    strangers = [line for line in lines if "~bpo" in line]
    if strangers:
        raise Failure(
            "the build root has the wrong compilers",
            f"from backports: {', '.join(strangers)}",
            "The stock kernel was built with the suite's own; report this.",
        )
