# SPDX-License-Identifier: GPL-2.0
"""The newc cpio format: what the kernel unpacks as its initramfs.

Written here rather than by cpio(1), so that an archive needs neither root (device nodes, owners)
nor a staging folder on disk, and comes out byte for byte the same for the same input.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import PurePosixPath

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


class CpioError(ValueError):
    """The bytes are not a newc archive."""


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of an archive."""

    path: str
    mode: int
    data: bytes = b""

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)


def _pad(size: int) -> bytes:
    return b"\0" * (-size % 4)


def _record(number: int, path: str, mode: int, data: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = MAGIC + b"".join(b"%08x" % field for field in fields) + name
    return head + _pad(len(head)) + data + _pad(len(data))


class Archive:
    """Collects entries; a later entry of the same path replaces the earlier one."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._entries

    def folder(self, path: str) -> None:
        """Add a folder, and those above it."""
        path = path.strip("/")
        if not path or path == "." or path in self._entries:
            return
        self.folder(str(PurePosixPath(path).parent))
        self._entries[path] = Entry(path, stat.S_IFDIR | 0o755)

    def file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        path = path.strip("/")
        self.folder(str(PurePosixPath(path).parent))
        self._entries[path] = Entry(path, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def link(self, path: str, target: str) -> None:
        path = path.strip("/")
        self.folder(str(PurePosixPath(path).parent))
        self._entries[path] = Entry(path, stat.S_IFLNK | 0o777, target.encode())

    def pack(self) -> bytes:
        """The archive, padded so that another one can follow it in the same file."""
        parts = [
            _record(i, e.path, e.mode, e.data) for i, e in enumerate(self._entries.values(), 1)
        ]
        parts.append(_record(0, TRAILER, 0, b""))
        whole = b"".join(parts)
        return whole + b"\0" * (-len(whole) % 512)


def read(blob: bytes) -> list[Entry]:
    """The entries of one or more archives laid end to end, as the kernel reads them."""
    entries, at = [], 0
    while at < len(blob):
        if blob[at] == 0:
            at += 1
            continue
        if blob[at : at + 6] != MAGIC:
            raise CpioError(f"no newc header at byte {at}")
        fields = [int(blob[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = blob[at + 110 : at + 110 + name_size - 1].decode()
        start = at + 110 + name_size
        start += -start % 4
        at = start + size + (-size % 4)
        if at > len(blob):
            raise CpioError(f"{name} is cut short")
        if name != TRAILER:
            entries.append(Entry(name, mode, blob[start : start + size]))
    return entries
