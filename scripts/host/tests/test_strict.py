# SPDX-License-Identifier: GPL-2.0
"""The strict kernel: when it counts as built, and that its configuration is checked."""

from __future__ import annotations

import io
import unittest
from dataclasses import replace
from pathlib import Path

import support
from host import cache, cli, config, kernel, progress, steps, strict

PIN = kernel.Pin("7.3", "7.3.4-amd64", ("linux-image=1",), "linux-source-7.3=1", "headers=1", 5)


class Configuration(unittest.TestCase):
    WANTED = "# a comment\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=7\n"

    def test_as_wanted(self) -> None:
        self.assertEqual(strict.differences(self.WANTED, self.WANTED + "CONFIG_E=y\n"), [])
        gone = self.WANTED.replace("# CONFIG_C is not set\n", "")
        self.assertEqual(strict.differences(self.WANTED, gone), [])

    def test_each_difference_is_named(self) -> None:
        got = "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=y\n"
        self.assertEqual(
            strict.differences(self.WANTED, got),
            [
                "CONFIG_A is n, not y",
                "CONFIG_B is y, not m",
                "CONFIG_C is y, not n",
                "CONFIG_D is n, not 7",
            ],
        )

    def test_no_option_is_written_twice(self) -> None:
        text = strict.fragment(config.load({"HOME": "/h"})).read_text()
        lines = [line for line in text.splitlines() if "CONFIG_" in line]
        self.assertEqual(len(lines), len(strict.settings(text)))


class Presence(unittest.TestCase):
    def setUp(self) -> None:
        folder = support.folder(self)
        (folder / "checkout" / "scripts").mkdir(parents=True)
        self.config = config.Config(folder / "checkout", folder / "cache", flavor="strict")
        self.config.cache.mkdir()
        self.write("CONFIG_A=y\n")
        kernel.save_pin(self.config, PIN)
        self.stock = steps.places(self.config, PIN)
        for path in (self.stock.root, self.stock.kernel, self.stock.source):
            path.mkdir()

    def write(self, text: str) -> None:
        strict.fragment(self.config).write_text(text)

    def folder(self) -> Path:
        return strict.path(self.config, PIN, self.stock.root)

    def test_stamp_decides(self) -> None:
        self.assertIsNone(cli.present(self.config))
        for name in ("source", "build", "kernel"):
            (self.folder() / name).mkdir(parents=True)
        self.assertIsNone(cli.present(self.config))
        cache.write_json(self.folder() / "complete", "7.3.4-strict")
        place = cli.present(self.config)
        assert place
        self.assertEqual((place.release, place.source), ("7.3.4-strict", self.folder() / "build"))
        stock = cli.present(replace(self.config, flavor="stock"))
        assert stock
        self.assertEqual((stock.release, stock.variables), (PIN.release, {}))

    def test_options_make_another_but_comments_do_not(self) -> None:
        before = self.folder()
        self.write("# why\nCONFIG_A=y\n")
        self.assertEqual(self.folder(), before)
        self.write("CONFIG_A=y\nCONFIG_B=y\n")
        self.assertNotEqual(self.folder(), before)

    def test_no_half_stock_kernel_will_do(self) -> None:
        (self.folder()).mkdir()
        cache.write_json(self.folder() / "complete", "7.3.4-strict")
        self.stock.source.rmdir()
        self.assertIsNone(cli.present(self.config))


class Share(unittest.TestCase):
    def test_share_of_the_expected_lines(self) -> None:
        out = io.StringIO()
        log = progress.Log(support.folder(self), "test")
        self.addCleanup(log.close)
        display = progress.Display(log, 4, out, {}, tty=False)
        with display.step(3, "build") as step:
            step.expected, step.lines = 200, 49
            step.line("  CC      a.o")
            self.assertIn(" 25 %", display._text(step))
            step.lines = 999
            self.assertIn(" 99 %", display._text(step))
        self.assertNotIn("%", out.getvalue().splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
