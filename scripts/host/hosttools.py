# SPDX-License-Identifier: GPL-2.0
"""Step 1: what this machine itself must have, installed if we may, else named in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from host import mirror, namespace
from host.config import Config
from host.errors import CommandFailed, Failure
from host.progress import Step
from host.runner import PATH, Runner

# Command: the Debian (and Ubuntu) package that has it.
COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "xz": "xz-utils",
    "mount": "mount",
}
_TEMPLATE = "python-apt-common"


def lacking(config: Config) -> list[str]:
    """Packages that this machine lacks."""
    packages = [name for tool, name in COMMANDS.items() if not shutil.which(tool, path=PATH)]
    if not Path(mirror.KEYRING).exists():
        packages.append("debian-archive-keyring")
    if namespace.as_user() and not shutil.which("newuidmap", path=PATH):
        packages.append("uidmap")
    if not mirror.candidates(config.mirror):
        packages.append(_TEMPLATE)
    return sorted(set(packages))


def check(config: Config, step: Step, runner: Runner) -> None:
    """See that the machine has all it needs."""
    if not shutil.which("apt-get", path=PATH):
        raise Failure(
            "no apt-get",
            "this is not a Debian or Ubuntu machine",
            "Use Debian 12, Ubuntu 22.04 or newer (a container of it will do).",
        )
    packages = lacking(config)
    if packages and namespace.as_user():
        if packages == [_TEMPLATE]:
            raise mirror.missing()
        raise Failure(
            "this machine lacks " + ", ".join(packages),
            "",
            f"As root: apt-get install {' '.join(packages)}",
        )
    if packages:
        install(packages, step, runner)
    if not mirror.candidates(config.mirror):
        raise mirror.missing()
    if namespace.as_user():
        namespace.check_user()
    # The first namespace: where none is allowed it is said here, before anything long.
    runner.run(step, ["true"], quiet=True)


def install(packages: list[str], step: Step, runner: Runner) -> None:
    """apt-get install, after finishing what an earlier kill may have left half done."""
    step.result = "installed " + ", ".join(packages)
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    env = {"NEEDRESTART_SUSPEND": "1"}
    try:
        if any(os.scandir("/var/lib/dpkg/updates")):
            runner.run(step, ["dpkg", "--configure", "-a"], finish=True)
        runner.run(step, ["apt-get", "-qy", *wait, "update"], env=env, finish=True)
        runner.run(
            step,
            ["apt-get", "-qy", *wait, "install", "--no-install-recommends", *packages],
            env=env,
            finish=True,
        )
    except CommandFailed as error:
        error.what = f"cannot install {', '.join(packages)}: {error.what}"
        raise
