# SPDX-License-Identifier: GPL-2.0
"""Which kernel is chosen, and what is read out of its files and of apt's output."""

from __future__ import annotations

import unittest

import support
from host import apt, config, kernel
from host.errors import Failure


class Choosing(unittest.TestCase):
    NAMES = (
        "linux-image-7.3.4+deb13-amd64",
        "linux-image-7.3.10+deb13-amd64",
        "linux-image-7.3.12+deb13-cloud-amd64",
        "linux-image-7.3.12+deb13-rt-amd64",
        "linux-image-7.3.12+deb13-amd64-dbg",
        "linux-image-7.3.12+deb13-amd64-unsigned",
        "linux-image-6.12.94+deb13-amd64",
        "linux-image-6.1.0-40-amd64",
        "linux-image-7.30.1+deb13-amd64",
    )

    def test_newest_by_number_not_by_letter(self) -> None:
        self.assertEqual(kernel.choose([*self.NAMES], "7.3"), "7.3.10+deb13-amd64")

    def test_order_of_the_index_does_not_matter(self) -> None:
        self.assertEqual(kernel.choose([*reversed(self.NAMES)], "7.3"), "7.3.10+deb13-amd64")

    def test_older_way_of_naming(self) -> None:
        self.assertEqual(kernel.choose([*self.NAMES], "6.1"), "6.1.0-40-amd64")

    def test_absent_series_names_those_there(self) -> None:
        with self.assertRaises(Failure) as caught:
            kernel.choose([*self.NAMES], "7.4")
        self.assertIn("it has 6.1, 6.12, 7.3, 7.30", caught.exception.text())

    def test_mirror_without_kernels(self) -> None:
        with self.assertRaises(Failure) as caught:
            kernel.choose([], "7.3")
        self.assertIn("none at all", caught.exception.text())


class Pins(unittest.TestCase):
    def test_saved_and_loaded(self) -> None:
        place = support.folder(self)
        settings = config.Config(checkout=place, cache=place)
        pin = kernel.Pin("7.3", "7.3.4-amd64", ("a=1", "b=2"), "s=1", "h=1", 5)
        kernel.save_pin(settings, pin)
        self.assertEqual(kernel.load_pin(settings), pin)

    def test_spoilt_pin_is_none(self) -> None:
        place = support.folder(self)
        settings = config.Config(checkout=place, cache=place)
        self.assertIsNone(kernel.load_pin(settings))
        for text in ("", "{", "[]", "{}", '{"packages": []}'):
            kernel.pin_path(settings).write_text(text)
            self.assertIsNone(kernel.load_pin(settings))


class Symbols(unittest.TestCase):
    SYMVERS = (
        "0x0\t_RNv1a\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
        "0x0\trust_helper_b\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
        "0x0\t_RNv1c\tdrivers/x\tEXPORT_SYMBOL_GPL\t\n"
        "0x0\tkmalloc\tvmlinux\tEXPORT_SYMBOL\t\n"
        "broken line\n"
    )

    def test_only_rust_and_only_of_vmlinux(self) -> None:
        self.assertEqual(kernel.vmlinux_symbols(self.SYMVERS), {"_RNv1a", "rust_helper_b"})


class Configuring(unittest.TestCase):
    def test_output_folder_of_the_distribution_is_dropped(self) -> None:
        place = support.folder(self)
        stock, work = place / "stock", place / "work"
        stock.mkdir()
        work.mkdir()
        (stock / "config").write_text("CONFIG_X=y\n")
        (stock / "Module.symvers").write_text("s\n")
        (stock / "kernelvariables").write_text("ARCH = x86\nexport KBUILD_OUTPUT := /gone\n")
        kernel.configure(work, stock)
        self.assertEqual((work / ".kernelvariables").read_text(), "ARCH = x86\n")
        self.assertEqual((work / ".config").read_text(), "CONFIG_X=y\n")


class AptOutput(unittest.TestCase):
    def test_only_reaching_settings_are_taken(self) -> None:
        dump = [
            'Acquire::http::Proxy "http://p.invalid:1";',
            'Acquire::https::CaInfo "/ca.pem";',
            'Acquire::Check-Valid-Until "false";',
            'Acquire::Retries "3";',
            'Acquire::AllowInsecureRepositories "1";',
            'Acquire::AllowDowngradeToInsecureRepositories "1";',
            'Acquire::IndexTargets::deb::DEP-11::MetaKey "x";',
            'APT::Update::Post-Invoke:: "rm -rf /";',
            'Acquire::http "";',
        ]
        self.assertEqual(apt.host_settings(dump), dump[:4])

    def test_reason_is_the_first_that_says_something(self) -> None:
        lines = [
            "Err:1 http://m.invalid/d trixie InRelease",
            "  Temporary failure resolving 'm.invalid'",
            "W: Some thing",
            "E: Some index files failed to download. They have been ignored.",
            "E: Failed to fetch http://m.invalid/d/InRelease  Temporary failure resolving",
        ]
        self.assertEqual(apt.apt_reason(lines), "Temporary failure resolving")
        self.assertEqual(apt.apt_reason(lines[:3]), "Some thing")
        self.assertEqual(apt.apt_reason([" odd "]), "odd")
        self.assertTrue(apt.apt_reason([]))


class Settings(unittest.TestCase):
    def load(self, **env: str) -> config.Config:
        return config.load({"HOME": "/users/u", **env})

    def test_cache_folder(self) -> None:
        self.assertEqual(str(self.load().cache), "/users/u/.cache/krdma")
        self.assertEqual(str(self.load(XDG_CACHE_HOME="/x").cache), "/x/krdma")
        self.assertEqual(str(self.load(XDG_CACHE_HOME="rel").cache), "/users/u/.cache/krdma")
        self.assertEqual(str(self.load(KRDMA_CACHE="/k/").cache), "/k")

    def test_refused(self) -> None:
        for env in (
            {"KRDMA_CACHE": "rel"},
            {"KRDMA_CACHE": "/with blank"},
            {"KRDMA_CACHE": "/with:colon"},
            {"KRDMA_SERIES": "7"},
            {"KRDMA_SERIES": "7.3; rm"},
            {"KRDMA_SUITE": "../x"},
            {"KRDMA_FLAVOR": "vanilla"},
            {"HOME": ""},
        ):
            with self.subTest(env), self.assertRaises(Failure) as caught:
                self.load(**env)
            self.assertTrue(caught.exception.do, env)

    def test_choices(self) -> None:
        made = self.load(
            KRDMA_SERIES="8.0", KRDMA_SUITE="forky", KRDMA_MIRROR="http://m.invalid/d/", V="1"
        )
        self.assertEqual((made.series, made.suite, made.verbose), ("8.0", "forky", True))
        self.assertEqual(made.mirror, "http://m.invalid/d")
        self.assertIn("forky-backports", made.suites)

    def test_start_time(self) -> None:
        self.assertEqual(self.load(KRDMA_STARTED="12.5").started, 12.5)
        self.assertGreater(self.load(KRDMA_STARTED="x").started, 1e9)


if __name__ == "__main__":
    unittest.main()
