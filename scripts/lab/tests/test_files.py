# SPDX-License-Identifier: GPL-2.0
"""Reading what others wrote: modules.dep, compressed modules, bzImages, rdma_devinfo's report."""

import gzip
import lzma
import struct
import tempfile
import unittest
from pathlib import Path

from lab import devinfo, initramfs, kernel, kmods
from lab.cpio import read
from lab.env import LabError, from_environ

DEP = "kernel/a/rdma-x.ko.xz: kernel/b/ib_y.ko.xz kernel/c/z.ko\nkernel/b/ib_y.ko.xz:\nkernel/c/z.ko:\n"

REPORT = """\
[    5.270656] rdma_devinfo: hca_id:\trxe0
[    5.271421][   T88] rdma_devinfo: \ttransport:\t\tInfiniBand
[    5.276383] rdma_devinfo: \t\tport:\t1
[    5.276465] rdma_devinfo: \t\t\tstate:\t\t\tPORT_ACTIVE
[    5.279127] rdma_devinfo: \t\t\tGID[  0]:\t\tfe80::1, RoCE v2, eth0
[    5.303951] rrds: rxe0: added
[    5.667988] rdma_devinfo: rxe0: removed
[    5.668206] rdma_devinfo: 1 added, 1 removed
[    5.700000] rdma_devinfo: hca_id:\trxe0
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


class Report(unittest.TestCase):
    def test_devices_and_their_attributes(self) -> None:
        first, second = devinfo.parse(REPORT)
        self.assertEqual((first.name, first.removed), ("rxe0", True))
        self.assertEqual((second.name, second.removed), ("rxe0", False))
        self.assertEqual(
            first.attributes,
            {
                "transport": "InfiniBand",
                "port 1 state": "PORT_ACTIVE",
                "port 1 GID[0]": "fe80::1, RoCE v2, eth0",
            },
        )

    def test_another_log_has_none(self) -> None:
        self.assertEqual(devinfo.parse("[ 1.0] rdma_rxe: loaded\n"), [])


if __name__ == "__main__":
    unittest.main()
