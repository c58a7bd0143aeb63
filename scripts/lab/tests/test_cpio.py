# SPDX-License-Identifier: GPL-2.0
"""The newc writer against its own reader, and against what the kernel demands."""

import stat
import unittest

from lab.cpio import Archive, CpioError, read


class WriteAndRead(unittest.TestCase):
    def test_files_folders_and_links_come_back(self) -> None:
        archive = Archive()
        archive.file("a/b/script", b"#!/bin/sh\n", executable=True)
        archive.file("a/data", b"12345")
        archive.link("bin/sh", "/bin/busybox")
        entries = {entry.path: entry for entry in read(archive.pack())}
        self.assertEqual(sorted(entries), ["a", "a/b", "a/b/script", "a/data", "bin", "bin/sh"])
        self.assertTrue(entries["a/b"].is_dir)
        self.assertEqual(stat.S_IMODE(entries["a/b/script"].mode), 0o755)
        self.assertEqual(stat.S_IMODE(entries["a/data"].mode), 0o644)
        self.assertEqual(entries["bin/sh"].data, b"/bin/busybox")
        self.assertTrue(stat.S_ISLNK(entries["bin/sh"].mode))

    def test_a_folder_comes_before_what_is_in_it(self) -> None:
        archive = Archive()
        archive.file("x/y/z", b"")
        self.assertEqual([entry.path for entry in read(archive.pack())], ["x", "x/y", "x/y/z"])

    def test_every_header_is_aligned(self) -> None:
        archive = Archive()
        for size in range(9):
            archive.file("f" * (size + 1), b"d" * size)
        blob = archive.pack()
        at = blob.find(b"070701")
        while at >= 0:
            self.assertEqual(at % 4, 0)
            at = blob.find(b"070701", at + 1)
        self.assertEqual(len(read(blob)), 9)

    def test_two_archives_in_one_file(self) -> None:
        first, second = Archive(), Archive()
        first.file("one", b"1")
        second.file("two", b"2")
        blob = first.pack() + second.pack()
        self.assertEqual([entry.path for entry in read(blob)], ["one", "two"])

    def test_same_input_same_bytes(self) -> None:
        def make() -> bytes:
            archive = Archive()
            archive.file("etc/x", b"x")
            return archive.pack()

        self.assertEqual(make(), make())

    def test_rubbish_is_refused(self) -> None:
        with self.assertRaises(CpioError):
            read(b"no archive at all")
        archive = Archive()
        archive.file("f", b"d" * 100)
        with self.assertRaises(CpioError):
            read(archive.pack()[:150])


if __name__ == "__main__":
    unittest.main()
