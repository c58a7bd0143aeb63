# SPDX-License-Identifier: GPL-2.0
"""Reading what others wrote: modules.dep, compressed modules, bzImages, what the demo's nodes tell."""

import gzip
import lzma
import struct
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

from lab import demo, initramfs, kernel, kmods
from lab.cpio import read
from lab.env import LabError, from_environ

DEP = "kernel/a/rdma-x.ko.xz: kernel/b/ib_y.ko.xz kernel/c/z.ko\nkernel/b/ib_y.ko.xz:\nkernel/c/z.ko:\n"

CONSOLE = """\
[    5.2] rrds: rxe0: added\r
[    6.1] demo: memory from=a to=b kb=320\r
[    9.3][   T88] demo: traffic from=a to=b count=10000 rate=231.5 p50=39.1 p90=80 p99=\r
"""


class Modules(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "modules.dep").write_text(DEP)
        (self.folder / "modules.builtin").write_text("kernel/d/built-in-one.ko\n")

    def test_what_is_needed_comes_first(self) -> None:
        found = kmods.closure(self.folder, ["rdma_x", "z", "built-in-one"])
        self.assertEqual(found, ["kernel/c/z.ko", "kernel/b/ib_y.ko.xz", "kernel/a/rdma-x.ko.xz"])

    def test_a_missing_module_is_named(self) -> None:
        with self.assertRaisesRegex(LabError, "no module nothing"):
            kmods.closure(self.folder, ["nothing"])

    def test_unpacked(self) -> None:
        data = b"\x7fELF" * 100
        for packed in (data, lzma.compress(data), gzip.compress(data)):
            self.assertEqual(kmods.unpacked(packed), data)


class Image(unittest.TestCase):
    def image(self, elf: bytes) -> bytes:
        packed = gzip.compress(elf)
        head = bytearray(1024)
        head[kernel.SETUP_SECTORS_AT] = 1
        head[kernel.BOOT_MAGIC_AT : kernel.BOOT_MAGIC_AT + 4] = b"HdrS"
        struct.pack_into("<II", head, kernel.PAYLOAD_AT, 16, len(packed) + 4)
        return bytes(head) + bytes(16) + packed + struct.pack("<I", len(elf)) + b"rest"

    def test_a_kernel_with_pvh_is_taken_out(self) -> None:
        elf = b"\x7fELF" + bytes(60) + kernel.PVH_NOTE + bytes(8)
        self.assertEqual(kernel.vmlinux(self.image(elf)), elf)

    def test_one_without_is_booted_as_it_is(self) -> None:
        self.assertIsNone(kernel.vmlinux(self.image(b"\x7fELF" + bytes(60))))

    def test_something_else_is_refused(self) -> None:
        with self.assertRaisesRegex(LabError, "bzImage"):
            kernel.vmlinux(bytes(2048))


class Archives(unittest.TestCase):
    def test_the_archive_of_a_run(self) -> None:
        blob = initramfs.run_archive({"init": b"#!/bin/sh\n", "lab/env": b"A=1\n"})
        entries = {entry.path: entry for entry in read(blob)}
        self.assertEqual(sorted(entries), ["init", "lab", "lab/env"])
        self.assertTrue(entries["init"].mode & 0o100)

    def test_a_missing_program_names_its_package(self) -> None:
        with self.assertRaisesRegex(LabError, "its package is no-such-program"):
            initramfs.find_program("no-such-program")


class Environment(unittest.TestCase):
    def test_a_missing_variable_is_named(self) -> None:
        with self.assertRaisesRegex(LabError, "KRDMA_CACHE is not set"):
            from_environ({})

    def test_a_wrong_value_is_named(self) -> None:
        with self.assertRaisesRegex(LabError, "KRDMA_ACCEL is 'xen'"):
            from_environ({"KRDMA_ACCEL": "xen"})


class Told(unittest.TestCase):
    def test_what_the_nodes_told_is_found(self) -> None:
        test = SimpleNamespace(consoles={"a": CONSOLE, "b": "[ 1.0] rdma_rxe: loaded\n"})
        self.assertEqual(demo.told(test, "memory"), [{"from": "a", "to": "b", "kb": "320"}])
        (line,) = demo.told(test, "traffic")
        self.assertEqual((line["count"], line["rate"], line["p99"]), ("10000", "231.5", ""))


if __name__ == "__main__":
    unittest.main()
