# SPDX-License-Identifier: GPL-2.0
"""The cache: locks, publishing, and what belongs to whom."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

import support
from host import cache
from host.errors import Cancelled, Failure

_HOLD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from host.cache import Lock
lock = Lock(Path(sys.argv[2]))
lock.take("the other", print, lambda: False)
print("held", flush=True)
time.sleep(600)
"""


class Locks(unittest.TestCase):
    def setUp(self) -> None:
        self.path = support.folder(self) / "lock"

    def other(self) -> subprocess.Popen[str]:
        """Another process that holds the lock."""
        process = subprocess.Popen(
            [sys.executable, "-B", "-c", _HOLD, str(support.SCRIPTS), str(self.path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "held\n")
        return process

    def test_waits_names_the_holder_and_goes_on_after_kill_9(self) -> None:
        other = self.other()
        told: list[str] = []

        def waiting(holder: str) -> None:
            told.append(holder)
            other.kill()

        lock = cache.Lock(self.path)
        self.addCleanup(lock.release)
        self.assertTrue(lock.take("me", waiting, lambda: False))
        self.assertEqual(told, [f"the other (pid {other.pid})"])
        self.assertEqual(lock.holder(), f"me (pid {os.getpid()})")

    def test_waiting_can_be_stopped(self) -> None:
        self.other()
        with self.assertRaises(Cancelled):
            cache.Lock(self.path).take("me", lambda _: None, lambda: True)

    def test_free_lock_is_taken_at_once(self) -> None:
        lock = cache.Lock(self.path)
        self.addCleanup(lock.release)
        self.assertFalse(lock.take("me", self.fail, lambda: False))

    def test_shared_and_exclusive(self) -> None:
        one, two, three = (cache.Lock(self.path) for _ in range(3))
        for lock in (one, two, three):
            self.addCleanup(lock.release)
        self.assertTrue(one.try_take(shared=True))
        self.assertTrue(two.try_take(shared=True))
        self.assertFalse(three.try_take())
        one.release()
        two.release()
        self.assertTrue(three.try_take())

    def test_removed_file_is_no_lock(self) -> None:
        old, new = cache.Lock(self.path), cache.Lock(self.path)
        self.addCleanup(old.release)
        self.addCleanup(new.release)
        self.assertTrue(old.try_take())
        self.path.unlink()
        # The file that `new` would find is another one; both must agree on which counts.
        self.assertTrue(new.try_take())
        old.release()
        self.assertFalse(old.try_take())

    def test_lock_is_not_inherited(self) -> None:
        lock = cache.Lock(self.path)
        self.assertTrue(lock.try_take())
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        lock.release()
        again = cache.Lock(self.path)
        self.addCleanup(again.release)
        self.assertTrue(again.try_take())


class Publishing(unittest.TestCase):
    def setUp(self) -> None:
        self.place = support.folder(self)

    def test_publish_gives_the_name_to_the_whole(self) -> None:
        work, final = self.place / "work", self.place / "final"
        work.mkdir()
        (work / "file").write_text("x")
        cache.publish(work, final)
        self.assertEqual((final / "file").read_text(), "x")
        self.assertFalse(work.exists())

    def test_json_is_old_or_new(self) -> None:
        path = self.place / "a.json"
        cache.write_json(path, {"a": 1})
        (self.place / "a.json.new").write_text('{"a": ')
        self.assertEqual(cache.read_json(path), {"a": 1})
        cache.write_json(path, {"a": 2})
        self.assertEqual(cache.read_json(path), {"a": 2})

    def test_spoilt_json_is_nothing(self) -> None:
        path = self.place / "a.json"
        path.write_text('{"a": ')
        self.assertIsNone(cache.read_json(path))

    def test_key_follows_its_parts(self) -> None:
        self.assertEqual(cache.key(1, ["a"]), cache.key(1, ["a"]))
        self.assertNotEqual(cache.key(1, ["a"]), cache.key(1, ["b"]))

    def test_only_old_results_are_unused(self) -> None:
        old = time.time() - (cache.UNUSED_DAYS + 1) * 86400
        for name in ("root-old", "root-kept", "root-new", "log"):
            (self.place / name).mkdir()
            if name != "root-new":
                os.utime(self.place / name, (old, old))
        found = list(cache.unused(self.place, {self.place / "root-kept"}))
        self.assertEqual(found, [self.place / "root-old"])


class Making(unittest.TestCase):
    def test_makes_what_is_missing(self) -> None:
        place = support.folder(self) / "deep" / "cache"
        cache.make(place)
        self.assertTrue((place / "tmp").is_dir())

    def test_impossible_place(self) -> None:
        blocked = support.folder(self) / "file"
        blocked.write_text("")
        with self.assertRaises(Failure) as caught:
            cache.make(blocked / "cache")
        self.assertIn("KRDMA_CACHE", caught.exception.text())

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a folder away")
    def test_another_users_cache(self) -> None:
        place = support.folder(self) / "cache"
        cache.make(place)
        try:
            os.chown(place, 1, 1)
        except OSError as error:
            self.skipTest(f"no second user id here: {error}")
        with self.assertRaises(Failure) as caught:
            cache.make(place)
        self.assertIn("belongs to another user", caught.exception.text())

    def test_tree_bytes_counts_what_it_can(self) -> None:
        place = support.folder(self)
        (place / "a").write_bytes(b"x" * 100_000)
        self.assertGreaterEqual(cache.tree_bytes(place), 100_000)
        self.assertEqual(cache.tree_bytes(Path("/nonexistent")), 0)


if __name__ == "__main__":
    unittest.main()
