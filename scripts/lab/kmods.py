# SPDX-License-Identifier: GPL-2.0
"""The stock kernel's modules: which ones a node needs, and their bytes, unpacked."""

from __future__ import annotations

import lzma
import subprocess
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from .env import LabError

SUFFIXES = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")


def module_name(path: str) -> str:
    """`kernel/net/sch-netem.ko.xz` -> `sch_netem`: the kernel takes `-` for `_`."""
    name = path.rsplit("/", 1)[-1]
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix) if name.endswith(suffix) else name
    return name.replace("-", "_")


def parse_dep(text: str) -> dict[str, tuple[str, list[str]]]:
    """modules.dep by module name: its path and the paths that it needs."""
    table = {}
    for line in text.splitlines():
        path, colon, needs = line.partition(":")
        if colon:
            table[module_name(path)] = (path, needs.split())
    return table


def builtin_names(text: str) -> set[str]:
    return {module_name(line) for line in text.splitlines() if line}


def closure(folder: Path, names: Iterable[str]) -> list[str]:
    """Paths, relative to the folder, of the named modules and all they need; what is built in is
    left out.
    """
    table = parse_dep((folder / "modules.dep").read_text())
    builtin = builtin_names((folder / "modules.builtin").read_text())
    found: dict[str, None] = {}
    for name in names:
        name = name.replace("-", "_")
        if name in builtin:
            continue
        if name not in table:
            raise LabError(
                f"the kernel in {folder} has no module {name}: a test or the runner asks for it"
            )
        path, needs = table[name]
        for need in [*reversed(needs), path]:
            found[need] = None
    return list(found)


def _zstd(data: bytes) -> bytes:
    done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"zstd cannot unpack: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x1f\x8b", lambda data: zlib.decompressobj(31).decompress(data)),
    (b"\x28\xb5\x2f\xfd", _zstd),
)


def unpacked(data: bytes) -> bytes:
    """The bytes without their compression; a guest unpacks a hundred times slower than we do."""
    for magic, unpack in UNPACKERS:
        if data.startswith(magic):
            return unpack(data)
    return data
