# SPDX-License-Identifier: GPL-2.0
"""Where the mirror comes from: every form that a machine's apt sources may have."""

from __future__ import annotations

import unittest

import support
from host import mirror
from host.errors import Failure
from host.mirror import Source


class OneLine(unittest.TestCase):
    """sources.list"""

    def parse(self, text: str) -> list[Source]:
        return list(mirror.parse_list(text))

    def test_plain(self) -> None:
        found = self.parse("deb http://m.invalid/debian trixie main contrib\n")
        self.assertEqual(
            found, [Source("http://m.invalid/debian", ("trixie",), ("main", "contrib"))]
        )

    def test_options_tabs_and_comments(self) -> None:
        text = (
            "# a comment\n\n"
            "deb\t[ arch=amd64 signed-by=/k.gpg trusted=no ]  http://m.invalid/debian/\ttrixie main"
            " # why\n"
        )
        (found,) = self.parse(text)
        self.assertEqual(found.uri, "http://m.invalid/debian/")
        self.assertEqual(found.options["signed-by"], "/k.gpg")
        self.assertEqual(found.components, ("main",))

    def test_what_is_no_binary_archive(self) -> None:
        text = (
            "deb-src http://m.invalid/debian trixie main\n"
            "#deb http://m.invalid/debian trixie main\n"
            "debx http://m.invalid/debian trixie main\n"
            "deb\n"
        )
        self.assertEqual(self.parse(text), [])

    def test_cdrom_with_blanks(self) -> None:
        text = "deb cdrom:[Debian GNU/Linux 13 _Trixie_ - amd64]/ trixie main\n"
        (found,) = self.parse(text)
        self.assertTrue(found.uri.startswith("cdrom:"))
        self.assertEqual(found.suites, ("trixie",))

    def test_flat_archive(self) -> None:
        (found,) = self.parse("deb http://m.invalid/repo ./\n")
        self.assertEqual((found.suites, found.components), (("./",), ()))


class Deb822(unittest.TestCase):
    """sources.list.d/*.sources"""

    def parse(self, text: str) -> list[Source]:
        return list(mirror.parse_sources(text))

    def test_many_of_each(self) -> None:
        text = (
            "Types: deb deb-src\n"
            "URIs: http://a.invalid/debian http://b.invalid/debian\n"
            "Suites: trixie trixie-updates\n"
            "Components: main contrib\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        )
        found = self.parse(text)
        self.assertEqual(
            [source.uri for source in found], ["http://a.invalid/debian", "http://b.invalid/debian"]
        )
        self.assertEqual(found[0].suites, ("trixie", "trixie-updates"))
        self.assertIn("debian-archive", found[0].options["signed-by"])

    def test_comments_stanzas_case_and_continued_lines(self) -> None:
        text = (
            "# first\n"
            "types: deb\n"
            "# inside\n"
            "uris: http://a.invalid/debian\n"
            "SUITES: trixie\n"
            " trixie-backports\n"
            "Components: main\n"
            "Signed-By:\n"
            " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
            " .\n"
            " abc:def\n"
            "\n"
            " \n"
            "Types: deb\nURIs: http://b.invalid/x\nSuites: sid\nComponents: main\n"
        )
        found = self.parse(text)
        self.assertEqual(len(found), 2)
        self.assertEqual(found[0].suites, ("trixie", "trixie-backports"))

    def test_disabled_and_source_only(self) -> None:
        text = (
            "Enabled: no\nTypes: deb\nURIs: http://a.invalid/debian\nSuites: trixie\n"
            "Components: main\n\n"
            "Types: deb-src\nURIs: http://a.invalid/debian\nSuites: trixie\nComponents: main\n"
        )
        self.assertEqual(self.parse(text), [])


class Candidates(unittest.TestCase):
    """Which of a machine's archives is Debian's."""

    def setUp(self) -> None:
        self.etc = support.folder(self)
        (self.etc / "sources.list.d").mkdir()

    def candidates(self, chosen: str = "") -> list[str]:
        return mirror.candidates(chosen, self.etc, self.etc / "Debian.info")

    def write(self, name: str, text: str) -> None:
        (self.etc / name).write_text(text)

    def test_chosen_wins(self) -> None:
        self.write("sources.list", "deb http://m.invalid/debian trixie main\n")
        self.assertEqual(self.candidates("http://own.invalid/d/"), ["http://own.invalid/d"])

    def test_chosen_must_be_an_address(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.candidates("m.invalid/debian")
        self.assertIn("KRDMA_MIRROR", caught.exception.text())

    def test_debian_machine_with_others(self) -> None:
        self.write(
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://m.invalid/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
            "Types: deb\nURIs: http://m.invalid/debian-security\nSuites: bookworm-security\n"
            "Components: main\n",
        )
        self.write(
            "sources.list.d/other.list",
            "deb https://o.invalid/apt cloud-sdk-bookworm main\n"
            "deb https://vendor.invalid/linux/debian bookworm stable\n",
        )
        self.assertEqual(self.candidates(), ["http://m.invalid/debian"])

    def test_archive_before_a_vendor_that_looks_like_it(self) -> None:
        self.write("sources.list.d/a.list", "deb https://v.invalid/stable/debian trixie main\n")
        self.write(
            "sources.list",
            "deb http://m.invalid/pub/mirror trixie main\n"
            "deb http://m.invalid/pub/mirror trixie-updates main\n"
            "deb http://security.invalid/debian-security trixie-security main\n",
        )
        self.assertEqual(self.candidates()[0], "http://m.invalid/pub/mirror")

    def test_mirror_file(self) -> None:
        listed = self.etc / "debian.list"
        listed.write_text("# mirrors\nhttps://m.invalid/debian\tpriority:1\nhttp://n.invalid/d\n")
        self.write(
            "sources.list.d/debian.sources",
            f"Types: deb\nURIs: mirror+file://{listed}\nSuites: trixie trixie-updates\n"
            "Components: main\n",
        )
        self.assertEqual(self.candidates(), ["https://m.invalid/debian", "http://n.invalid/d"])

    def test_unusable_ways(self) -> None:
        self.write(
            "sources.list",
            "deb cdrom:[Debian 13]/ trixie main\ndeb tor+http://x.invalid/debian trixie main\n",
        )
        self.assertEqual(self.candidates(), [])

    def test_ubuntu_asks_its_template(self) -> None:
        self.write(
            "sources.list.d/ubuntu.sources",
            "Types: deb\nURIs: http://u.invalid/ubuntu/\nSuites: noble noble-updates\n"
            "Components: main universe\n",
        )
        self.assertEqual(self.candidates(), [])
        self.write("Debian.info", "Suite: {series}\nBaseURI: https://d.invalid/debian/\n")
        self.assertEqual(self.candidates(), ["https://d.invalid/debian"])

    def test_other_files_are_not_read(self) -> None:
        self.write("sources.list.d/old.list.save", "deb http://m.invalid/debian trixie main\n")
        self.assertEqual(self.candidates(), [])

    def test_nothing_there(self) -> None:
        empty = self.etc / "absent"
        self.assertEqual(mirror.candidates("", empty, empty), [])


if __name__ == "__main__":
    unittest.main()
