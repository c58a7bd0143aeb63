# SPDX-License-Identifier: GPL-2.0
"""Provisioning killed, stopped, run twice at a time, or failing: with fake tools of a second.

killtest.py does the first with the real ones.
"""

from __future__ import annotations

import os
import pty
import signal
import unittest

import support
from host import killtest

RESULTS = ["kernel", "root", "source"]


class Base(unittest.TestCase):
    def setUp(self) -> None:
        support.needs_namespaces(self)
        self.fake = support.Fake(self)

    def reach(self, text: str) -> None:
        """Wait until the newest log says so."""
        support.wait_for(text, lambda: killtest.reached(self.fake.cache / "log", text))

    def nothing_left(self) -> None:
        support.wait_for(
            f"nothing runs for {self.fake.cache}",
            lambda: not killtest.left_running(self.fake.cache),
        )
        self.assertEqual(killtest.left_mounted(self.fake.cache), [])

    def finish(self) -> str:
        """The next run ends well, with whole results and no leftovers."""
        status, text = self.fake.run()
        self.assertEqual(status, 0, text)
        self.assertEqual(self.fake.results(), RESULTS)
        (root,) = self.fake.cache.glob("root-*")
        self.assertEqual((root / "whole").read_text(), "whole\n")
        (source,) = self.fake.cache.glob("source-*")
        self.assertIn("_RNv4core", (source / "rust" / "exports_core_generated.h").read_text())
        self.assertEqual(list((self.fake.cache / "tmp").iterdir()), [])
        return text


class Kill9(Base):
    """kill -9 of the process at each long step, then a run to the end."""

    def kill_at(self, text: str, there: list[str]) -> None:
        process = self.fake.start()
        self.reach(text)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.nothing_left()
        self.assertLessEqual(set(self.fake.results()), set(there))
        self.finish()

    def test_at_the_index(self) -> None:
        self.kill_at("[2] === package index", [])

    def test_at_the_root(self) -> None:
        self.kill_at("[3] I: installing c", [])

    def test_at_the_download(self) -> None:
        # The root is made beside it, and may be whole already.
        self.kill_at("[4] Get:1", ["root"])

    def test_at_the_unpacking(self) -> None:
        self.kill_at("[6] === unpack source", ["root", "kernel"])

    def test_at_the_preparing(self) -> None:
        self.kill_at("[7]   RUSTC L rust/3.o", ["root", "kernel"])

    def test_again_and_again(self) -> None:
        for text in ("[2] === package index", "[3] I: installing c", "[7]   RUSTC L rust/3.o"):
            process = self.fake.start()
            self.reach(text)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.nothing_left()
        self.finish()


class Stopping(Base):
    def test_what_is_finished_is_kept(self) -> None:
        process = self.fake.start()
        self.reach("[7] === prepare source")
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=support.LIMIT_SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertIn("the next run continues", text)
        self.nothing_left()
        self.assertEqual(self.fake.results(), ["kernel", "root"])
        self.assertNotIn("build root", self.finish())

    def test_ctrl_c_on_a_terminal(self) -> None:
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(self.fake.argv[0], self.fake.argv, self.fake.env)
        self.addCleanup(os.close, terminal)
        said = b""
        while b"build root" not in said:
            said += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            said += data
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.assertEqual(status, 130)
        self.assertIn(b"stopped; the next run continues", said)
        self.assertNotIn(b"Traceback", said)
        self.nothing_left()
        self.finish()


class Together(Base):
    """The first is held in the middle of the build root until the second has been seen to wait."""

    def setUp(self) -> None:
        super().setUp()
        self.hold = self.fake.place / "hold"
        self.hold.touch()
        self.fake.settings["FAKE_HOLD"] = str(self.hold)

    def test_second_waits_and_uses_the_result(self) -> None:
        first = self.fake.start()
        self.reach("[3] I: installing c")
        second = self.fake.start()
        assert second.stdout
        two = second.stdout.readline()
        self.assertIn(f"waiting for provision (pid {first.pid})", two)
        self.hold.unlink()
        one, _ = first.communicate(timeout=support.LIMIT_SECONDS)
        two += second.communicate(timeout=support.LIMIT_SECONDS)[0]
        self.assertEqual((first.returncode, second.returncode), (0, 0), one + two)
        self.assertNotIn("[3/8]", two)
        self.finish()

    def test_second_takes_over_from_a_killed_one(self) -> None:
        first = self.fake.start()
        self.reach("[3] I: installing c")
        second = self.fake.start()
        assert second.stdout
        said = second.stdout.readline()
        self.assertIn("waiting for", said)
        first.kill()
        self.hold.unlink()
        rest, _ = second.communicate(timeout=support.LIMIT_SECONDS)
        self.assertEqual(second.returncode, 0, said + rest)
        self.assertIn("[3/8] build root", rest)
        self.finish()

    def test_whole_cache_needs_nothing(self) -> None:
        self.hold.unlink()
        self.finish()
        self.assertNotIn("[1/8]", self.finish())


class Failing(Base):
    """Each failure that has a name: the step, the reason, what to do, the log."""

    def fails(self, *parts: str, log: bool = True, **settings: str) -> str:
        self.fake.settings.update(settings)
        status, text = self.fake.run()
        self.assertEqual(status, 1, text)
        for part in parts:
            self.assertIn(part, text)
        self.assertNotIn("Traceback", text)
        if log:
            path = text.partition("\nlog: ")[2].strip()
            self.assertTrue(os.path.isfile(path), text)
        self.nothing_left()
        return text

    def test_no_mirror(self) -> None:
        del self.fake.settings["KRDMA_MIRROR"]
        # Not as root, which would install the file that knows one.
        with_template = "no Debian mirror" if os.geteuid() else "step 1 (host tools) failed"
        self.fails(with_template)

    def test_network_down(self) -> None:
        self.fails(
            "step 2 (package index) failed: no package index from http://mirror.invalid/debian",
            "Could not resolve 'mirror.invalid'",
            "Check the network",
            FAKE_FAIL="resolve",
        )

    def test_suite_absent(self) -> None:
        self.fails("has no trixie suite", "KRDMA_SUITE", FAKE_FAIL="suite")

    def test_wrong_key(self) -> None:
        self.fails("NO_PUBKEY", "debian-archive-keyring", FAKE_FAIL="key")

    def test_series_absent(self) -> None:
        self.fails(
            "no kernel of the series 7.3: it has 6.12, 7.1, 7.10",
            "KRDMA_SERIES",
            FAKE_SERIES="6.12 7.10 7.1",
        )

    def test_download_fails(self) -> None:
        self.fails(
            "step 4 (download kernel) failed: download failed",
            "Connection failed",
            FAKE_FAIL="download",
        )

    def test_disk_too_small(self) -> None:
        text = self.fails("too little disk", "KRDMA_CACHE", FAKE_FREE="1000000000")
        self.assertRegex(text, r"5\.\d GB needed, 1\.0 GB free")

    def test_root_fails_with_its_last_lines_and_leaves_no_rubble(self) -> None:
        self.fails(
            "step 3 (build root) failed: mmdebstrap failed: exit status 1",
            "  | E: dpkg: error processing package c",
            FAKE_FAIL="root",
        )
        self.assertEqual(list((self.fake.cache / "tmp").iterdir()), [])
        del self.fake.settings["FAKE_FAIL"]
        self.finish()

    def test_disk_filled_meanwhile(self) -> None:
        # Enough at first, as the check says; FAKE_FREE_LATER is what is left when mmdebstrap fails.
        self.fails(
            "mmdebstrap failed",
            "is full (1.0 MB free)",
            FAKE_FREE="9000000000",
            FAKE_FREE_LATER="1000000",
            FAKE_FAIL="root",
        )

    def test_compilers_from_elsewhere(self) -> None:
        self.fails("wrong compilers", "rustc 1.85.1~bpo13", FAKE_RUSTC="~bpo13")

    def test_configuration_changes(self) -> None:
        self.fails("step 7", "1 settings differ", "CONFIG_X=y", FAKE_FAIL="config")

    def test_other_symbol_names(self) -> None:
        self.fails(
            "step 8 (check Rust symbols) failed",
            "1 of its 1 Rust symbols",
            "_RNv4core",
            FAKE_SYMBOL="_RNv4corf",
        )
        self.assertNotIn("source", self.fake.results())

    def test_bad_settings(self) -> None:
        self.fails("'7' is not a kernel series", log=False, KRDMA_SERIES="7")
        self.fails("is not an absolute path", log=False, KRDMA_SERIES="7.3", KRDMA_CACHE="x")


if __name__ == "__main__":
    unittest.main()
