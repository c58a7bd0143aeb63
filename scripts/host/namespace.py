# SPDX-License-Identifier: GPL-2.0
"""Running a command in mount, pid (and user) namespaces of its own, which end with us.

See init.py for the other end. The socket between the two is the life line: it is closed when this
process ends for any reason, and with it everything that was started through here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from host.errors import Cancelled, Failure

# Ids inside a namespace: root, and the 65535 after it that Debian's packages may use.
SUB_IDS = 65535


@dataclass
class Plan:
    """What to run and in what surroundings; `root` empty means the machine's own root."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    root: str = ""
    mounts: list[dict[str, Any]] = field(default_factory=list)


def as_user() -> bool:
    """Whether a user namespace is needed to have root's rights inside."""
    return os.geteuid() != 0


class Namespaces:
    """All commands now running in namespaces, so that they can be stopped together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[Process] = set()
        self.cancelled = threading.Event()

    def start(self, plan: Plan, finish: bool = False, **standard_files: Any) -> Process:
        """Start `plan`; raises Failure when the machine allows no namespaces.

        With `finish` a cancel lets it end by itself.
        """
        with self._lock:
            if self.cancelled.is_set():
                raise Cancelled
            process = Process(plan, **standard_files)
            process.finish = finish
            self._live.add(process)
        try:
            process.hand_over()
        except BaseException:
            process.kill()
            self.ended(process)
            if self.cancelled.is_set():
                raise Cancelled from None
            raise
        return process

    def ended(self, process: Process) -> None:
        """Forget a process; to be called once it was waited for."""
        process.close()
        with self._lock:
            self._live.discard(process)

    def cancel(self) -> None:
        """Kill everything that need not finish, and start nothing more."""
        with self._lock:
            self.cancelled.set()
            for process in self._live:
                if not process.finish:
                    process.kill()


class Process:
    """One command in its namespaces."""

    def __init__(self, plan: Plan, **standard_files: Any) -> None:
        self.plan = plan
        self.error = ""
        self.finish = False
        self._sock, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-S", "-B", "-m", "host.init", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "PATH": os.defpath},
                **standard_files,
            )
        self._answers = self._sock.makefile("rb")

    @property
    def pid(self) -> int:
        """Of the process outside, whose end is the end of all."""
        return self._popen.pid

    @property
    def stdout(self) -> IO[bytes]:
        assert self._popen.stdout is not None
        return self._popen.stdout

    def hand_over(self) -> None:
        """Send the plan and see to the mapping of user ids."""
        plan = {
            "argv": list(self.plan.argv),
            "cwd": self.plan.cwd,
            "env": dict(self.plan.env),
            "root": self.plan.root,
            "mounts": self.plan.mounts,
            "user": as_user(),
        }
        self._send(plan)
        if not as_user():
            return
        answer = self._read()
        if "map" in answer:
            map_ids(answer["map"])
            self._send({"mapped": True})
        else:
            self._complain(answer)

    def wait(self) -> int:
        """The command's exit status, in the manner of a shell."""
        while answer := self._read():
            self._complain(answer)
        status = self._popen.wait()
        return 128 - status if status < 0 else status

    def signal(self, number: int) -> None:
        self._send({"signal": int(number)})

    def kill(self) -> None:
        """Kill the command and all it started; the kernel drops the mounts with them."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(ProcessLookupError):
            self._popen.kill()

    def close(self) -> None:
        self._popen.wait()
        if self._popen.stdout:
            self._popen.stdout.close()
        self._answers.close()
        self._sock.close()

    def _send(self, what: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendall(json.dumps(what).encode() + b"\n")

    def _read(self) -> dict[str, Any]:
        try:
            text = self._answers.readline()
        except ConnectionError:
            text = b""
        return json.loads(text) if text else {}

    def _complain(self, answer: dict[str, Any]) -> None:
        if "refused" in answer:
            raise refusal(answer["refused"])
        if "error" in answer:
            self.error = answer["error"]
            if as_user() and "Permission denied" in self.error and "mount" in self.error:
                raise refusal(errno.EACCES)
            raise Failure("cannot set up the build root", self.error)


def refusal(number: int) -> Failure:
    """Why this machine lets us make no namespaces, and what would change that."""
    why = os.strerror(number)
    what = "no way to make a build root"
    if not as_user():
        return Failure(
            what,
            f"the kernel refuses mount and pid namespaces to root here ({why})",
            "In a container, start it privileged (docker run --privileged); or use a machine.",
        )
    for path, wanted, setting in (
        ("/proc/sys/kernel/unprivileged_userns_clone", "1", "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "0",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ):
        with contextlib.suppress(OSError):
            if Path(path).read_text().strip() != wanted:
                return Failure(
                    what,
                    "this machine forbids user namespaces to ordinary users",
                    f"As root: sysctl {setting}; or run the command as root.",
                )
    if number == errno.ENOSPC:
        return Failure(
            what,
            "this machine's limit of user namespaces is reached",
            "As root: sysctl user.max_user_namespaces=10000; or run the command as root.",
        )
    return Failure(
        what,
        f"the kernel refuses a user namespace to this user ({why})",
        "Run the command as root.",
    )


def sub_range(path: Path, user: str, uid: int) -> tuple[int, int] | None:
    """The first range of ids that /etc/subuid or /etc/subgid grants to the user."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if name in (user, str(uid)) and first.isdigit() and count.isdigit() and int(count) > 0:
            return int(first), int(count)
    return None


def check_user(folder: Path = Path("/etc")) -> None:
    """Whether an ordinary user has what a build root needs; Failure says what to install."""
    if not shutil.which("newuidmap") or not shutil.which("newgidmap"):
        raise Failure(
            "no way to make a build root",
            "newuidmap is missing, which an ordinary user needs",
            "As root: apt-get install uidmap; or run the command as root.",
        )
    uid = os.getuid()
    user = user_name(uid)
    for name in ("subuid", "subgid"):
        granted = sub_range(folder / name, user, uid)
        if granted is None or granted[1] < SUB_IDS:
            raise Failure(
                "no way to make a build root",
                f"{folder / name} grants {user} {granted[1] if granted else 0} ids of the"
                f" {SUB_IDS} needed",
                f"As root: usermod --add-subuids 1000000-1065535 --add-subgids 1000000-1065535"
                f" {user}; or run the command as root.",
            )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def map_ids(pid: int) -> None:
    """Give the namespace of `pid` our own id as root, and our sub-ids as all others."""
    uid, gid = os.getuid(), os.getgid()
    user = user_name(uid)
    for tool, own, name in (("newuidmap", uid, "subuid"), ("newgidmap", gid, "subgid")):
        first, count = sub_range(Path("/etc") / name, user, uid) or (0, 0)
        argv = [tool, str(pid), "0", str(own), "1"]
        if count:
            argv += ["1", str(first), str(min(count, SUB_IDS))]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(
                "no way to make a build root",
                f"{tool}: {done.stderr.strip()}",
                "Run the command as root.",
            )
