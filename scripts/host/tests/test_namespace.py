# SPDX-License-Identifier: GPL-2.0
"""Commands in namespaces: what goes in and out of them, and that they end with us."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import unittest
import unittest.mock
import uuid
from pathlib import Path

import support
from host import namespace, sandbox
from host.config import Config
from host.errors import Cancelled, Failure
from host.namespace import Namespaces, Plan

_PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from host.namespace import Namespaces, Plan
namespaces = Namespaces()
process = namespaces.start(Plan(["sh", "-c", sys.argv[2]], "/", {"PATH": "/usr/bin:/bin"}))
sys.exit(process.wait())
"""


class Running(unittest.TestCase):
    def setUp(self) -> None:
        support.needs_namespaces(self)
        self.namespaces = Namespaces()
        self.place = support.folder(self)

    def run_in(self, script: str, **more: object) -> tuple[int, str]:
        plan = Plan(["sh", "-c", script], "/", {"PATH": os.defpath, "A": "b c"}, **more)
        process = self.namespaces.start(plan, stdout=subprocess.PIPE)
        text = process.stdout.read().decode()
        status = process.wait()
        self.namespaces.ended(process)
        return status, text

    def test_status_output_and_environment(self) -> None:
        self.assertEqual(self.run_in('echo "$A"; exit 7'), (7, "b c\n"))

    def test_killed_command_counts_as_in_a_shell(self) -> None:
        self.assertEqual(self.run_in("kill -TERM $$")[0], 128 + signal.SIGTERM)

    def test_root_inside(self) -> None:
        self.assertEqual(self.run_in("id -u"), (0, "0\n"))

    def test_own_process_numbers(self) -> None:
        self.assertEqual(self.run_in("cut -d ' ' -f 4 /proc/self/stat; ls -d /proc/1")[0], 0)
        pids = self.run_in("ls -d /proc/[0-9]*")[1].split()
        self.assertLess(len(pids), 10)

    def test_command_that_is_not_there(self) -> None:
        process = self.namespaces.start(Plan(["/nonexistent"], "/", {}))
        with self.assertRaises(Failure) as caught:
            process.wait()
        self.namespaces.ended(process)
        self.assertIn("/nonexistent", caught.exception.text())

    def test_mounts_stay_inside(self) -> None:
        status, _ = self.run_in(f"mount -t tmpfs x {self.place} && touch {self.place}/inside")
        self.assertEqual(status, 0)
        self.assertEqual(list(self.place.iterdir()), [])
        self.assertNotIn(str(self.place), Path("/proc/self/mounts").read_text())

    def test_background_processes_end_with_the_command(self) -> None:
        mark = self.place / "alive"
        self.run_in(f"(while :; do date +%N >{mark}; sleep 0.05; done) >/dev/null 2>&1 & sleep 0.3")
        before = mark.read_text() if mark.exists() else ""
        time.sleep(0.3)
        self.assertEqual(mark.read_text() if mark.exists() else "", before)

    def test_signal_reaches_the_command(self) -> None:
        process = self.namespaces.start(
            Plan(
                ["sh", "-c", "trap 'echo caught; exit 3' TERM; echo up; sleep 600 & wait"],
                "/",
                {"PATH": os.defpath},
            ),
            stdout=subprocess.PIPE,
        )
        self.assertEqual(process.stdout.readline(), b"up\n")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.stdout.readline(), b"caught\n")
        self.assertEqual(process.wait(), 3)
        self.namespaces.ended(process)

    def test_cancel_kills_and_starts_no_more(self) -> None:
        plan = Plan(["sleep", "600"], "/", {"PATH": os.defpath})
        process = self.namespaces.start(plan)
        self.namespaces.cancel()
        self.assertNotEqual(process.wait(), 0)
        self.namespaces.ended(process)
        with self.assertRaises(Cancelled):
            self.namespaces.start(plan)

    def test_cancel_lets_finish_what_must(self) -> None:
        plan = Plan(["sh", "-c", "sleep 0.3; exit 5"], "/", {"PATH": os.defpath})
        process = self.namespaces.start(plan, finish=True)
        self.namespaces.cancel()
        self.assertEqual(process.wait(), 5)
        self.namespaces.ended(process)

    def kill_parent(self, number: signal.Signals) -> None:
        """A parent that is killed takes along what it started, background processes included."""
        mark = self.place / "pids"
        # Process numbers outside are not known inside: a name of their own tells them.
        name = f"6{os.getpid()}"
        script = f"sleep {name} & touch {mark}; setsid sleep {name}"
        parent = subprocess.Popen(
            [sys.executable, "-B", "-c", _PARENT, str(support.SCRIPTS), script],
            stderr=subprocess.DEVNULL,
        )
        support.wait_for("the command runs", lambda: len(sleepers(name)) == 2 and mark.exists())
        parent.send_signal(number)
        parent.wait()
        support.wait_for("all have ended", lambda: not sleepers(name))

    def test_kill_9_of_the_parent(self) -> None:
        self.kill_parent(signal.SIGKILL)

    def test_ctrl_c_of_the_parent_alone(self) -> None:
        self.kill_parent(signal.SIGINT)

    def test_sigterm_of_the_parent(self) -> None:
        self.kill_parent(signal.SIGTERM)

    def test_kill_9_of_what_is_between(self) -> None:
        name = f"7{os.getpid()}"
        plan = Plan(["sh", "-c", f"sleep {name} & sleep {name}"], "/", {"PATH": os.defpath})
        process = self.namespaces.start(plan)
        support.wait_for("the command runs", lambda: len(sleepers(name)) == 2)
        os.kill(process.pid, signal.SIGKILL)
        self.assertEqual(process.wait(), 128 + signal.SIGKILL)
        self.namespaces.ended(process)
        support.wait_for("all have ended", lambda: not sleepers(name))


def sleepers(name: str) -> list[str]:
    """The processes `sleep NAME` that this one can see."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (
                (folder / "cmdline").read_bytes() == f"sleep\0{name}\0".encode()
            ):
                found.append(folder.name)
        except OSError:
            continue
    return found


class Entering(unittest.TestCase):
    """A root put together by sandbox.mounts, here of this machine's own folders."""

    def setUp(self) -> None:
        support.needs_namespaces(self)
        self.place = support.folder(self)
        self.config = Config(checkout=self.place / "checkout", cache=self.place / "cache")
        self.root = self.place / "cache" / "root"
        for path in (self.config.checkout, self.root / "etc", self.root / "usr"):
            path.mkdir(parents=True)
        (self.root / "etc" / "mark").write_text("of the root\n")
        for name in ("resolv.conf", "hosts", "pip.conf"):
            (self.root / "etc" / name).write_text("")
        (self.config.checkout / "file").write_text("of the checkout\n")

    def run_in(self, script: str) -> tuple[int, str]:
        top = sandbox.mount_point(self.config)
        entries = sandbox.mounts(self.config, self.root, top, {})
        # The fake root has no programs: the machine's own usr, where the root's would be.
        usr = {"kind": "bind", "of": "/usr", "at": f"{top}/usr"}
        entries.insert([entry["at"] for entry in entries].index(f"{top}/usr") + 2, usr)
        for name in ("bin", "lib", "lib64"):
            if os.path.islink(f"/{name}"):
                entries.insert(0, {"kind": "link", "of": f"usr/{name}", "at": f"{top}/{name}"})
        plan = Plan(["sh", "-c", script], str(self.config.checkout), {"PATH": os.defpath})
        plan.root, plan.mounts = str(top), entries
        namespaces = Namespaces()
        process = namespaces.start(plan, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = process.stdout.read().decode()
        status = process.wait()
        namespaces.ended(process)
        return status, text

    def test_sees_the_root_and_the_checkout_at_its_own_path(self) -> None:
        script = f"pwd; cat /etc/mark {self.config.checkout}/file"
        expected = f"{self.config.checkout}\nof the root\nof the checkout\n"
        self.assertEqual(self.run_in(script), (0, expected))

    def test_the_machine_is_out_of_sight(self) -> None:
        self.assertNotEqual(self.run_in(f"ls {support.TESTS}")[0], 0)

    def test_root_is_read_only_the_rest_is_not(self) -> None:
        self.assertNotEqual(self.run_in("echo x >/etc/mark")[0], 0)
        folders = f"{self.config.checkout} {self.config.cache} /tmp /var/tmp /run /dev/shm"
        # That no other program has on this machine.
        new = f"krdma-{uuid.uuid4()}"
        status, text = self.run_in(f"for d in {folders}; do echo x >$d/{new} || exit 1; done")
        self.assertEqual((status, text), (0, ""))
        self.assertTrue((self.config.checkout / new).exists())
        self.assertFalse(Path("/tmp", new).exists())

    def test_devices(self) -> None:
        script = (
            "echo x >/dev/null && head -c 4 /dev/zero | wc -c && test -c /dev/urandom"
            " && test -c /dev/ptmx && echo fine </dev/fd/0 && ls /dev"
        )
        status, text = self.run_in(script)
        self.assertEqual(status, 0, text)
        self.assertIn("fine", text)
        self.assertNotIn("vda", text)


class Refusals(unittest.TestCase):
    def test_every_refusal_says_what_to_do(self) -> None:
        for number in (errno.EPERM, errno.ENOSPC, errno.EACCES, errno.EINVAL):
            failure = namespace.refusal(number)
            self.assertIn("no way to make a build root", failure.text())
            self.assertTrue(failure.do)

    def test_sub_ids(self) -> None:
        path = support.folder(self) / "subuid"
        path.write_text("# x\nother:1:2\nme:100000:65536\n1000:5:70000\nbroken\n")
        self.assertEqual(namespace.sub_range(path, "me", 7), (100000, 65536))
        self.assertEqual(namespace.sub_range(path, "unknown", 1000), (5, 70000))
        self.assertIsNone(namespace.sub_range(path, "unknown", 7))
        self.assertIsNone(namespace.sub_range(path.with_name("absent"), "me", 7))

    def test_user_without_sub_ids_is_told(self) -> None:
        place = support.folder(self)
        found = unittest.mock.patch("shutil.which", lambda *_, **__: "/usr/bin/it")
        with found, self.assertRaises(Failure) as caught:
            namespace.check_user(place)
        self.assertIn("usermod --add-subuids", caught.exception.text())

    def test_user_without_newuidmap_is_told(self) -> None:
        with (
            unittest.mock.patch("shutil.which", lambda *_, **__: None),
            self.assertRaises(Failure) as caught,
        ):
            namespace.check_user()
        self.assertIn("uidmap", caught.exception.text())


if __name__ == "__main__":
    unittest.main()
