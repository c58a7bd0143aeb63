# SPDX-License-Identifier: GPL-2.0
"""One node: its archive, its QEMU process, its control channel."""

from __future__ import annotations

import asyncio
import shlex
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import insns, programs, qemu
from .env import Env
from .topology import NodeSpec, Test

Line = Callable[[str, str], None]
Again = Callable[[str], str | None]


def guest_environment(test: Test, node: NodeSpec, needs: dict[str, list[str]]) -> str:
    """The file /lab/env: all that the guest library knows, as shell assignments."""
    values = {
        "TEST": test.name,
        "NODE": node.name,
        "NODE_INDEX": str(node.index),
        "NODES": " ".join(other.name for other in test.nodes),
        "MODULES": " ".join(name for name in test.modules if "/" not in name),
        "NICS": " ".join(str(nic.slot) for nic in node.nics),
    }
    for nic in node.nics:
        link = nic.link
        words = f"{nic.slot} {link.index} {link.mtu} {nic.mac} {nic.ipv4} {nic.ipv6} {link.netem}"
        values[f"NIC_{nic.slot}"] = words.strip()
    for module, names in needs.items():
        values[f"NEEDS_{module}"] = " ".join(names)
    values |= test.params
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


@dataclass(frozen=True)
class Logs:
    """The files of one node that stay for the reader."""

    console: Path
    output: Path
    qemu: Path
    counts: Path

    @classmethod
    def fresh(cls, folder: Path, name: str) -> Logs:
        folder.mkdir(parents=True, exist_ok=True)
        kinds = ("console", "out", "qemu", "insns")
        logs = cls(*(folder / f"{name}.{kind}" for kind in kinds))
        old = (logs.console, logs.output, logs.qemu, *insns.files(folder, name))
        for path in old:
            path.unlink(missing_ok=True)
        return logs

    def text(self, path: Path) -> str:
        try:
            return path.read_text(errors="replace")
        except OSError:
            return ""


class Node:
    """A running node. Lines on its control channel go to `on_line`; its end sets `over`. When it boots
    again, `again` tells with which words, or that nobody asked for that.
    """

    def __init__(
        self,
        spec: NodeSpec,
        logs: Logs,
        on_line: Line,
        left: Callable[[], float],
        again: Again,
    ) -> None:
        self.spec, self.logs = spec, logs
        self.booted = asyncio.Event()
        self.over = asyncio.Event()
        self.boot_seconds: float | None = None
        self._on_line, self._left, self._again = on_line, left, again
        self._boots = 0
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(
        self, env: Env, kernel: Path, initrd: Path, wires: tuple[socket.socket, ...]
    ) -> None:
        ours, theirs = socket.socketpair()
        fds = tuple(end.fileno() for end in wires)
        files = qemu.Files(
            self.logs.console,
            self.logs.output,
            self.logs.qemu,
            theirs.fileno(),
            fds,
            programs.insns(env),
            self.logs.counts,
        )
        line = qemu.command(self.spec, env.accel or qemu.default_accel(), kernel, initrd, files)
        began = time.monotonic()
        try:
            self._process = await qemu.launch(line, self.logs.qemu, (theirs.fileno(), *fds))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._tasks = [
            asyncio.create_task(self._listen(reader, began)),
            asyncio.create_task(self._watch()),
        ]

    async def _listen(self, reader: asyncio.StreamReader, began: float) -> None:
        try:
            while raw := await reader.readline():
                text = raw.decode(errors="replace").strip()
                if text.startswith("hello"):
                    self._hello(began)
                elif text:
                    self._on_line(self.spec.name, text)
        except (ConnectionError, ValueError):
            pass  # the process is going; _watch sees that

    def _hello(self, began: float) -> None:
        words: str | None = ""
        if self._boots == 0:
            self.boot_seconds = time.monotonic() - began
            self.booted.set()
        else:
            words = self._again(self.spec.name)
        if words is None:
            if self._process is not None:
                self._process.kill()
            return
        # It shows who is blocked where before the time is up.
        self.send(f"ok {max(0, int(self._left()))} {self._boots} {words}".strip())
        self._boots += 1

    async def _watch(self) -> None:
        assert self._process is not None
        await self._process.wait()
        self.booted.set()
        self.over.set()

    def send(self, text: str) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(text.encode() + b"\n")

    @property
    def exit_status(self) -> int | None:
        return self._process.returncode if self._process else None

    async def stop(self) -> None:
        """After this nothing of the node is left but its logs. Safe to call at any time, any number
        of times.
        """
        if self._process is not None:
            await qemu.end(self._process)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._writer is not None:
            self._writer.close()
