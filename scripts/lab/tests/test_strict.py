# SPDX-License-Identifier: GPL-2.0
"""The strict kernel's nodes, and what the guest makes of kmemleak's reports."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from lab import klog, run, strict, suite, topology
from lab.env import Env, LabError

LIBRARY = Path(__file__).resolve().parents[3] / "tests" / "lib" / "leaks.sh"

REPORT = """\
unreferenced object 0xffff888003c5a000 (size 64):
  comm "insmod", pid 87, jiffies 4294900000
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00  ................
  backtrace (crc 12345678):
    __kmalloc_cache_noprof+0x2a/0x80
    _RNvMs_5krdma2pd_2Pd3new+0x10/0x40 [krdma]
    do_one_initcall+0x50/0x200
unreferenced object 0xffff888003c5b000 (size 32):
  comm "swapper/0", pid 1, jiffies 4294892296
  backtrace (crc 0):
    __kmalloc_noprof+0x2a/0x80
    acpi_init+0x50/0x200
unreferenced object 0xffff888003c5c000 (size 128):
  comm "insmod", pid 90, jiffies 4294900500
  backtrace (crc 1):
    __kmalloc_noprof+0x2a/0x80
    0xffffffffc0a41234
"""


class Adapted(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        (self.top / "tests").mkdir()
        (self.top / "tests" / "t.sh").touch()

    def env(self, flavor: str) -> Env:
        return Env(self.top, self.top / "cache", self.top / "kernel", "7.3.4", flavor=flavor)

    def write(self, text: str) -> topology.Test:
        path = self.top / "tests" / "t.toml"
        path.write_text(f'description = "t"\ntimeout = 100\n{text}')
        return topology.load(path)

    def test_stock_is_left_alone(self) -> None:
        test = self.write("[strict]\ncycles = 1")
        self.assertIs(strict.adapted(self.env("stock"), test), test)

    def test_more_time_and_memory(self) -> None:
        test = self.write("[params]\ncycles = 100\nother = 2\n[strict]\ncycles = 10")
        got = strict.adapted(self.env("strict"), test)
        self.assertGreater(got.timeout, 100)
        self.assertGreater(got.nodes[0].memory, test.nodes[0].memory)
        self.assertIn("kasan_multi_shot", got.nodes[0].append)
        self.assertEqual((got.params["CYCLES"], got.params["OTHER"]), ("10", "2"))
        self.assertGreater(int(got.params["SLOW"]), 1)

    def test_its_own_timeout_wins(self) -> None:
        got = strict.adapted(self.env("strict"), self.write("[strict]\ntimeout = 150"))
        self.assertEqual(got.timeout, 150)

    def test_what_rxe_is_reported_for(self) -> None:
        got = strict.adapted(self.env("strict"), self.write(""))
        line = "BUG: KASAN: slab-use-after-free in {}+0xb9/0x1f0 [rdma_rxe]"
        self.assertEqual(klog.scan(line.format("rxe_pool_get_index"), got.allowed), [])
        self.assertEqual(len(klog.scan(line.format("rxe_rcv"), got.allowed)), 1)

    def test_strict_only(self) -> None:
        self.write("strict_only = true")
        self.assertEqual([test.name for test in suite.find(self.env("strict"), [])], ["t"])
        self.assertEqual(suite.find(self.env("stock"), []), [])
        with self.assertRaisesRegex(LabError, "stock kernel"):
            suite.find(self.env("stock"), ["t"])

    def test_folders_are_apart(self) -> None:
        one, other = self.env("stock"), self.env("strict")
        for name in ("modules", "logs"):
            self.assertNotEqual(getattr(one, name), getattr(other, name))
        self.assertNotEqual(one.variant("salt"), other.variant("salt"))

    def test_all_modules_in_their_order(self) -> None:
        env = self.env("strict")
        test = self.write('modules = ["*"]')
        with self.assertRaisesRegex(LabError, "make modules"):
            run.with_modules(env, test)
        env.modules.mkdir(parents=True)
        (env.modules / "modules.order").write_text("krdma.o\nrrds.o\n")
        self.assertEqual(run.with_modules(env, test).modules, ("krdma", "rrds"))


@unittest.skipUnless(shutil.which("busybox"), "needs busybox")
class Leaks(unittest.TestCase):
    def test_only_what_modules_lost_is_reported(self) -> None:
        with tempfile.NamedTemporaryFile("w") as report:
            report.write(REPORT)
            report.flush()
            script = f". {LIBRARY}\nKMEMLEAK={report.name}\nleaks_found\n"
            done = subprocess.run(
                ["busybox", "sh"], input=script, capture_output=True, text=True, check=True
            )
        splats = klog.scan(done.stdout)
        self.assertEqual([splat.kind for splat in splats], ["kmemleak", "kmemleak"])
        self.assertIn("2pd_2Pd3new", "\n".join(splats[0].text))
        self.assertIn("0xffffffffc0a41234", "\n".join(splats[1].text))
        self.assertNotIn("acpi_init", done.stdout)

    def test_an_address_is_named_by_the_module_that_was_there(self) -> None:
        with tempfile.NamedTemporaryFile("w") as places:
            places.write("rdma_rxe 8192 0xffffffffc0a3e000\nkrdma 8192 0xffffffffc0a40000\n")
            places.flush()
            script = f". {LIBRARY}\nPLACES={places.name}\n"
            script += "place 0xffffffffc0a41234; place 0xffffffffc0a42000\n"
            done = subprocess.run(
                ["busybox", "sh"], input=script, capture_output=True, text=True, check=True
            )
        self.assertEqual(
            done.stdout.splitlines(),
            ["0xffffffffc0a41234 [krdma+0x1234]", "0xffffffffc0a42000"],
        )


if __name__ == "__main__":
    unittest.main()
