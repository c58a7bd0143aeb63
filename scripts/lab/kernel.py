# SPDX-License-Identifier: GPL-2.0
"""The stock kernel in the form that boots quickest: the vmlinux inside its bzImage, entered by PVH.

A bzImage unpacks itself in the guest, which takes a second or two under emulation; the code that
runs is the same.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from pathlib import Path

from .env import Env, LabError
from .kmods import unpacked

BOOT_MAGIC_AT, SETUP_SECTORS_AT, PAYLOAD_AT = 0x202, 0x1F1, 0x248
PVH_NOTE = struct.pack("<III4s", 4, 8, 18, b"Xen\0")  # XEN_ELFNOTE_PHYS32_ENTRY, 8 bytes
PVH_NOTE_SHORT = struct.pack("<III4s", 4, 4, 18, b"Xen\0")


def payload(image: bytes) -> bytes:
    """The compressed kernel inside a bzImage (Documentation/arch/x86/boot.rst)."""
    if image[BOOT_MAGIC_AT : BOOT_MAGIC_AT + 4] != b"HdrS":
        raise LabError("the kernel image is no x86 bzImage")
    setup = image[SETUP_SECTORS_AT] or 4
    offset, length = struct.unpack_from("<II", image, PAYLOAD_AT)
    start = (setup + 1) * 512 + offset
    # The last four bytes are the unpacked size, which kbuild appends behind the compressed stream.
    return image[start : start + length - 4]


def vmlinux(image: bytes) -> bytes | None:
    """The ELF file to boot by PVH, or None where this kernel does not offer that."""
    elf = unpacked(payload(image))
    if elf[:4] != b"\x7fELF" or not (PVH_NOTE in elf or PVH_NOTE_SHORT in elf):
        return None
    return elf


def bootable(env: Env) -> Path:
    """The file to give to QEMU's -kernel: the cached vmlinux, else the image itself."""
    image = env.vmlinuz.read_bytes()
    path = env.cache / "lab" / f"vmlinux-{hashlib.sha256(image).hexdigest()[:16]}"
    if path.is_file():
        return path
    elf = vmlinux(image)
    if elf is None:
        return env.vmlinuz
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as out:
        out.write(elf)
    os.replace(out.name, path)
    return path
