# SPDX-License-Identifier: GPL-2.0
"""The first process of a namespace: sets it up, runs one command in it, and ends it.

Started by namespace.py as `python3 -m host.init FD`; FD is a socket to the parent, which sends the
plan (one JSON line) and later signals to pass on. The end of that socket means that the parent is
gone, by whatever means, kill -9 included: then everything in here is killed. As this is process 1
of its own pid namespace, and all mounts are made in a mount namespace of its own, the kernel takes
every process and every mount along when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from host import syscalls

# What a shell reports for a command that could not be run.
CANNOT_RUN = 127


class Line:
    """The socket to the parent: JSON, one object a line."""

    def __init__(self, fd: int) -> None:
        # Not the command's: it must end with us, and know nothing of it.
        os.set_inheritable(fd, False)
        self.sock = socket.socket(fileno=fd)
        self.rest = b""

    def read(self) -> dict[str, Any] | None:
        """The next object, or None when the parent is gone."""
        while b"\n" not in self.rest:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self.rest += data
        text, self.rest = self.rest.split(b"\n", 1)
        return json.loads(text)

    def write(self, **what: object) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(json.dumps(what).encode() + b"\n")


def leave(line: Line, plan: dict[str, Any]) -> None:
    """Enter new namespaces; as an ordinary user the parent then maps the user ids."""
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID
    if plan["user"]:
        flags |= syscalls.CLONE_NEWUSER
    syscalls.unshare(flags)
    if plan["user"]:
        line.write(map=os.getpid())
        if line.read() is None:
            os._exit(CANNOT_RUN)
        os.setgid(0)
        os.setuid(0)
        syscalls.die_with_parent()


def touch(path: str) -> None:
    """Make an empty file to mount another one on."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.lexists(path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def bind(source: str, target: str) -> None:
    """Bind without the mounts below `source`, unless a user namespace must have them too."""
    try:
        syscalls.mount(source, target, "", syscalls.MS_BIND)
    except OSError:
        syscalls.mount(source, target, "", syscalls.MS_BIND | syscalls.MS_REC)


def do_mount(entry: dict[str, Any]) -> None:
    """Carry out one entry of the plan's list (made by sandbox.py)."""
    target = entry["at"]
    kind = entry["kind"]
    if kind == "dir":
        os.makedirs(target, exist_ok=True)
    elif kind == "file":
        touch(target)
    elif kind == "link":
        os.symlink(entry["of"], target)
    elif kind == "bind":
        bind(entry["of"], target)
        if entry.get("ro"):
            # A user namespace may not drop the flags that the mount came with.
            have = os.statvfs(target).f_flag & 0xF
            flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | have
            syscalls.mount("", target, "", flags)
    else:
        flags = syscalls.MS_NOSUID | (0 if kind == "devpts" else syscalls.MS_NODEV)
        if kind == "devpts":
            flags |= syscalls.MS_NOEXEC
        syscalls.mount(kind, target, kind, flags, entry.get("data", ""))


def set_up(plan: dict[str, Any]) -> None:
    """Make the mounts, and the new root if the plan has one."""
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    if plan["root"]:
        # A mount of its own, as pivot_root demands; what is under it is the plan's business.
        syscalls.mount("krdma", plan["root"], "tmpfs", syscalls.MS_NOSUID, "mode=755")
    for entry in plan["mounts"]:
        do_mount(entry)
    if plan["root"]:
        syscalls.pivot_root(plan["root"])
    else:
        syscalls.mount(
            "proc",
            "/proc",
            "proc",
            syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC,
        )


def start(line: Line, plan: dict[str, Any]) -> int:
    """Fork and execute the command; the parent's signals and standard files are its own again."""
    child = os.fork()
    if child:
        return child
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.chdir(plan["cwd"])
        os.execvpe(plan["argv"][0], plan["argv"], plan["env"])
    except OSError as error:
        line.write(error=f"cannot run {plan['argv'][0]} in {plan['cwd']}: {error.strerror}")
    os._exit(CANNOT_RUN)


def reap(child: int) -> int | None:
    """Collect every dead process; the exit status of `child` once it is among them."""
    status = None
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == child:
            code = os.waitstatus_to_exitcode(raw)
            status = 128 - code if code < 0 else code


def serve(line: Line, child: int, wakeup: int) -> int:
    """Wait for the command's end, or for the parent's."""
    poll = select.poll()
    poll.register(line.sock, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        status = reap(child)
        if status is not None:
            return status
        for fd, _ in poll.poll():
            if fd == wakeup:
                os.read(wakeup, 4096)
                continue
            order = line.read()
            if order is None:
                return 128 + signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, order["signal"])


def first_process(line: Line, plan: dict[str, Any]) -> int:
    """Process 1 of the namespace."""
    syscalls.die_with_parent()
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        set_up(plan)
    except OSError as error:
        line.write(error=error.strerror or str(error))
        return CANNOT_RUN
    return serve(line, start(line, plan), wakeup)


def main() -> None:
    """Stage one: outside the pid namespace, waits for process 1 and passes on its status."""
    syscalls.die_with_parent()
    # Ctrl-C reaches the command itself, as a member of the terminal's process group.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = Line(int(sys.argv[1]))
    plan = line.read()
    if plan is None:
        os._exit(CANNOT_RUN)
    try:
        leave(line, plan)
    except OSError as error:
        line.write(refused=error.errno)
        os._exit(CANNOT_RUN)
    pid = os.fork()
    if pid == 0:
        os._exit(first_process(line, plan))
    line.sock.close()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


if __name__ == "__main__":
    main()
