# SPDX-License-Identifier: GPL-2.0
"""The build root as a command finds it: which folders, devices, files and variables it sees.

The root is a small tmpfs made anew for each command, with the folders of the build root bound
into it read-only, the checkout and the cache at their own paths, and private /tmp, /run and /dev.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.config import Config
from host.progress import Step
from host.runner import Runner, proxies

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOUND = ("usr", "etc", "var", "opt", "srv", "boot")
_LINKS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kvm", "net/tun")

# The certificates that this machine trusts, its own additions to Debian's included.
_TRUST = (
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)
# Variables that name certificate bundles or folders of them: tools inside need the very same.
CERTIFICATES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
# Further variables that name files or folders which must be visible inside.
_PATHS = ("PIP_CONFIG_FILE", "PIP_FIND_LINKS")
# What a user may set for the node runner and the checks, by name and by beginning.
_PASSED = ("TERM", "COLUMNS", "LINES", "COLORTERM", "NO_COLOR", "CI", "V", "SOURCE_DATE_EPOCH")
_SETTINGS = ("TESTS", "JOBS", "FUZZ_SECONDS")
_PREFIXES = (
    "BENCH_",
    "KRDMA_",
    "PIP_",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
)


def environment(config: Config, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a command inside gets: few, so that builds are the same everywhere."""
    passed = {
        name: value
        for name, value in env.items()
        if name in (*_PASSED, *_SETTINGS, *CERTIFICATES) or name.startswith(_PREFIXES)
    }
    cache = config.cache
    return {
        **passed,
        **proxies(env),
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/bash",
        "HOME": str(cache / "home"),
        "CARGO_HOME": str(cache / "cargo"),
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PYTHONPATH": str(config.checkout / "scripts"),
        "PYTHONPYCACHEPREFIX": str(cache / "pycache"),
        # The checkout may belong to a user that is not root; it is this user's own all the same.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_OPTIONAL_LOCKS": "0",
        "V": "1" if config.verbose else "0",
        "KRDMA_CACHE": str(cache),
        "KRDMA_STARTED": repr(config.started),
        "KRDMA_INSIDE": "1",
    }


class Mounts:
    """The list of mounts for init.py, in order."""

    def __init__(self, root: Path, top: Path) -> None:
        self.root = root
        self.top = str(top)
        self.entries: list[dict[str, Any]] = []
        self._bound: set[str] = set()

    def _add(self, kind: str, at: str, **more: object) -> None:
        self.entries.append({"kind": kind, "at": self.top + at, **more})

    def make(self, kind: str, at: str) -> None:
        """A folder or an empty file to mount on; in the build root itself where that is bound."""
        first = at.split("/")[1]
        if first in self._bound:
            self.entries.append({"kind": kind, "at": f"{self.root}{at}"})
        else:
            self._add(kind, at)

    def bind_root(self, name: str) -> None:
        """One of the build root's own folders, read-only at the end (see lock)."""
        if (self.root / name).is_dir():
            self._add("dir", f"/{name}")
            self._add("bind", f"/{name}", of=str(self.root / name), ro=True)
            self._bound.add(name)

    def bind(self, of: str, at: str = "", ro: bool = False) -> None:
        """A file or folder of the machine."""
        at = at or of
        folder = os.path.isdir(of) or not os.path.exists(of)
        self.make("dir" if folder else "file", at)
        self._add("bind", at, of=of, ro=ro)

    def fresh(self, kind: str, at: str, data: str = "") -> None:
        self.make("dir", at)
        self._add(kind, at, data=data)

    def link(self, of: str, at: str) -> None:
        self._add("link", at, of=of)


def mounts(
    config: Config, root: Path, top: Path, env: Mapping[str, str] = os.environ
) -> list[dict[str, Any]]:
    """The whole list; `top` is the folder that the new root is put together on."""
    plan = Mounts(root, top)
    for name in _BOUND:
        plan.bind_root(name)
    for name in _LINKS:
        if (root / name).is_symlink():
            plan.link(os.readlink(root / name), f"/{name}")
        else:
            plan.bind_root(name)
    for name in ("home", "root", "mnt", "media"):
        plan.make("dir", f"/{name}")
    for at in ("/tmp", "/var/tmp", "/run"):
        plan.fresh("tmpfs", at, "mode=1777")
    plan.fresh("proc", "/proc")
    plan.bind("/sys", ro=True)
    devices(plan)
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf"):
        if os.path.isfile(name):
            plan.bind(os.path.realpath(name), name, ro=True)
    if os.path.isfile("/etc/ssl/certs/ca-certificates.crt"):
        for name in filter(os.path.isdir, _TRUST):
            plan.bind(name, ro=True)
    for path in user_files(env):
        plan.bind(*path, ro=True)
    # Last, so that nothing above hides them, wherever they lie.
    plan.bind(str(config.cache))
    for name in cargo_config(env):
        plan.bind(name, str(config.cache / "cargo" / "config.toml"), ro=True)
    for folder in git_folders(config.checkout):
        plan.bind(folder, ro=True)
    plan.bind(str(config.checkout))
    return plan.entries


def git_folders(checkout: Path) -> list[str]:
    """Where a linked worktree's repository lies, which is outside the checkout."""
    try:
        folder = (checkout / ".git").read_text().partition("gitdir:")[2].strip()
        common = (Path(folder) / "commondir").read_text().strip()
    except OSError:
        return []
    return [os.path.realpath(os.path.join(folder, common))]


def devices(plan: Mounts) -> None:
    """A small /dev with those of the machine's devices that may be used."""
    plan.fresh("tmpfs", "/dev", "mode=755")
    for name in _DEVICES:
        device = f"/dev/{name}"
        if os.path.exists(device) and os.access(device, os.R_OK | os.W_OK):
            plan.bind(device)
    plan.fresh("tmpfs", "/dev/shm", "mode=1777")
    plan.fresh("devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=620")
    plan.link("pts/ptmx", "/dev/ptmx")
    plan.link("/proc/self/fd", "/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        plan.link(f"/proc/self/fd/{number}", f"/dev/{name}")


def user_files(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """Certificates and pip settings of the user: (where they are, where they are seen)."""
    found: list[tuple[str, str]] = []
    for name in (*CERTIFICATES, *_PATHS):
        for path in env.get(name, "").split():
            pair = (os.path.realpath(path), path)
            known = pair in found or path.startswith(_TRUST)
            if path.startswith("/") and os.path.exists(path) and not known:
                found.append(pair)
    return found


def cargo_config(env: Mapping[str, str]) -> list[str]:
    """The user's cargo settings: where they name a registry, cargo inside must know it."""
    folder = env.get("CARGO_HOME") or os.path.join(env.get("HOME", "/nonexistent"), ".cargo")
    paths = [os.path.join(folder, name) for name in ("config.toml", "config")]
    return [path for path in paths if os.path.isfile(path)][:1]


def mount_point(config: Config) -> Path:
    """A folder outside everything that is bound, for the new root's tmpfs to lie on."""
    folder = config.cache / "mnt"
    folder.mkdir(exist_ok=True)
    return folder


def run(config: Config, root: Path, step: Step, runner: Runner, argv: list[str]) -> list[str]:
    """Run a provisioning command inside the root."""
    top = mount_point(config)
    env = {**environment(config), "HOME": str(config.cache / "home")}
    return runner.run(
        step,
        argv,
        cwd=config.cache,
        env=env,
        root=str(top),
        mounts=mounts(config, root, top),
    )
