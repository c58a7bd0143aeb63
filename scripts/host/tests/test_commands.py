# SPDX-License-Identifier: GPL-2.0
"""scripts/krdma, its commands, and check-kdir: what they say where they cannot go on."""

from __future__ import annotations

import os
import subprocess
import unittest
from pathlib import Path

import support
from host import cache, cli

KRDMA = support.SCRIPTS / "krdma"
CHECK_KDIR = support.SCRIPTS / "host" / "check-kdir"


def run(*argv: object, **env: str) -> tuple[int, str]:
    """A command's status and all it prints."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [str(word) for word in argv],
        env={**kept, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=support.LIMIT_SECONDS,
    )
    return done.returncode, done.stdout


class Door(unittest.TestCase):
    """The sh part."""

    def setUp(self) -> None:
        self.bin = support.folder(self)

    def tool(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def path(self) -> str:
        return f"{self.bin}:{os.environ['PATH']}"

    def test_other_system(self) -> None:
        self.tool("uname", "case $1 in -s) echo Darwin ;; -m) echo x86_64 ;; esac")
        status, text = run(KRDMA, "status", PATH=self.path())
        self.assertEqual(status, 1)
        self.assertIn("this is Darwin", text)

    def test_other_processor(self) -> None:
        self.tool("uname", "case $1 in -s) echo Linux ;; -m) echo aarch64 ;; esac")
        status, text = run(KRDMA, "status", PATH=self.path())
        self.assertEqual(status, 1)
        self.assertIn("this machine is aarch64", text)

    def bare(self, *pythons: str) -> None:
        """A machine with hardly anything on it, and the Pythons that it has too old."""
        for name in ("sh", "uname", "date", "dirname", "cat", "tail", "env"):
            os.symlink(subprocess.check_output(["which", name], text=True).strip(), self.bin / name)
        for name in pythons:
            self.tool(name, "exit 1")

    def test_no_python_as_ordinary_user(self) -> None:
        self.bare("python3")
        self.tool("id", "echo 1000")
        status, text = self.without_system_python()
        self.assertEqual(status, 1)
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertIn("apt-get install python3", text)

    def test_no_python_as_root_and_apt_fails(self) -> None:
        self.bare()
        self.tool("id", "echo 0")
        self.tool("apt-get", "echo 'E: no network'; exit 100")
        status, text = self.without_system_python()
        self.assertEqual(status, 1)
        self.assertIn("E: no network", text)

    def without_system_python(self) -> tuple[int, str]:
        """krdma, with /usr/bin/python3 out of sight as well."""
        text = KRDMA.read_text().replace("/usr/bin/python3", "")
        copy = self.bin / "krdma"
        copy.write_text(text)
        return run("/bin/sh", copy, "status", PATH=str(self.bin))

    def test_works_from_any_folder_through_a_link(self) -> None:
        status, text = run("sh", "-c", f"cd / && {KRDMA} help")
        self.assertEqual((status, text), (0, cli.USAGE))


class Commands(unittest.TestCase):
    def test_unknown_command(self) -> None:
        status, text = run(KRDMA, "frobnicate")
        self.assertEqual(status, 2)
        self.assertIn("no command 'frobnicate'", text)

    def test_status_of_an_empty_cache(self) -> None:
        place = support.folder(self) / "cache"
        status, text = run(KRDMA, "status", KRDMA_CACHE=str(place))
        self.assertEqual(status, 0)
        self.assertIn("to be provisioned", text)
        self.assertFalse(place.exists())

    def test_distclean_spares_what_is_no_cache(self) -> None:
        place = support.folder(self)
        (place / "precious").write_text("x")
        status, text = run(KRDMA, "distclean", KRDMA_CACHE=str(place))
        self.assertEqual(status, 1)
        self.assertIn("is not a cache of krdma", text)
        self.assertTrue((place / "precious").exists())

    def test_distclean_refuses_while_the_root_is_in_use(self) -> None:
        place = support.folder(self)
        cache.make(place)
        (place / "lock").write_text("")
        users = cache.Lock(place / "users")
        self.addCleanup(users.release)
        self.assertTrue(users.try_take(shared=True))
        status, text = run(KRDMA, "distclean", KRDMA_CACHE=str(place))
        self.assertEqual(status, 1)
        self.assertIn("the cache is in use", text)
        self.assertTrue(place.exists())


class Kdir(unittest.TestCase):
    """A kernel of the user's own that will not do."""

    def setUp(self) -> None:
        self.place = support.folder(self)
        self.kdir = self.place / "kdir"
        self.mo = self.place / "mo"
        self.file("Makefile", "modules modules_install:\n\t@mkdir -p '$(INSTALL_MOD_PATH)'\n")
        self.file("include/config/kernel.release", "7.3.4-test\n")
        self.file(
            "include/config/auto.conf",
            "CONFIG_RUST=y\nCONFIG_INFINIBAND=m\nCONFIG_RUSTC_VERSION_TEXT=rustc 1.85.1 (test)\n",
        )
        self.file("rust/libkernel.rmeta", "")
        self.rustc = self.place / "rustc"
        self.rustc.write_text("#!/bin/sh\necho 'rustc 1.85.1 (test)'\n")
        self.rustc.chmod(0o755)

    def file(self, name: str, text: str) -> None:
        path = self.kdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, **env: str) -> tuple[int, str]:
        tools = {"RUSTC": str(self.rustc), "BINDGEN": "true", "RUSTFMT": "true"}
        return run(CHECK_KDIR, self.kdir, self.mo, **{**tools, **env})

    def refused(self, *parts: str, **env: str) -> None:
        status, text = self.check(**env)
        self.assertEqual(status, 1, text)
        self.assertEqual(len(text.splitlines()), 1, text)
        for part in (str(self.kdir), *parts):
            self.assertIn(part, text)
        self.assertFalse(self.mo.exists())

    def test_good(self) -> None:
        self.assertEqual(self.check(), (0, ""))

    def test_no_kernel(self) -> None:
        (self.kdir / "Makefile").unlink()
        self.refused("no kernel's build folder", "KDIR=")

    def test_unprepared(self) -> None:
        (self.kdir / "include/config/kernel.release").unlink()
        self.refused("not prepared")

    def test_old(self) -> None:
        for release in ("7.2.9", "6.18.1-x", "7.2-rc1"):
            self.file("include/config/kernel.release", release)
            self.refused(f"it is {release}", "7.3 or newer")

    def test_new(self) -> None:
        for release in ("7.3", "7.3-rc1", "7.10.0", "8.0.0+deb14-amd64"):
            self.file("include/config/kernel.release", release)
            self.assertEqual(self.check()[0], 0, release)

    def test_without_rust(self) -> None:
        self.file("include/config/auto.conf", "CONFIG_INFINIBAND=m\n")
        self.refused("without Rust")

    def test_without_metadata(self) -> None:
        (self.kdir / "rust/libkernel.rmeta").unlink()
        self.refused("rust/libkernel.rmeta", "Distributions leave it out")

    def test_without_rdma(self) -> None:
        text = (self.kdir / "include/config/auto.conf").read_text()
        self.file("include/config/auto.conf", text.replace("CONFIG_INFINIBAND=m\n", ""))
        self.refused("without RDMA")

    def test_other_compiler(self) -> None:
        self.rustc.write_text("#!/bin/sh\necho 'rustc 1.90.0 (other)'\n")
        self.refused("rustc 1.85.1 (test)", "rustc 1.90.0 (other)")

    def test_missing_tools(self) -> None:
        self.refused("rustc is missing", RUSTC="/nonexistent/rustc")
        self.refused("/nonexistent/bindgen is missing", BINDGEN="/nonexistent/bindgen")

    def make(self, goal: str) -> tuple[int, str]:
        """As a user runs it, with a kernel of his own."""
        words = [goal, f"KDIR={self.kdir}", f"MO={self.mo}", f"INSTALL_MOD_PATH={self.place}/root"]
        tools = {"RUSTC": str(self.rustc), "BINDGEN": "true", "RUSTFMT": "true"}
        return run("make", "-C", support.SCRIPTS.parent, *words, **tools)

    def test_nothing_is_half_installed(self) -> None:
        auto_conf = (self.kdir / "include/config/auto.conf").read_text()
        metadata = self.kdir / "rust/libkernel.rmeta"
        for why, spoil in {
            "without Rust": lambda: self.file("include/config/auto.conf", "CONFIG_INFINIBAND=m\n"),
            # A headers package of Debian has no more in its folder rust, if it has one.
            "rust/libkernel.rmeta": metadata.unlink,
            "rustc 1.90.0": lambda: self.rustc.write_text("#!/bin/sh\necho 'rustc 1.90.0 (x)'\n"),
        }.items():
            spoil()
            for goal in ("modules", "install"):
                status, text = self.make(goal)
                self.assertEqual(status, 2, text)
                told = [line for line in text.splitlines() if line.startswith("krdma: ")]
                self.assertEqual(len(told), 1, text)
                self.assertIn(why, told[0])
            self.assertFalse(self.mo.exists())
            self.assertFalse((self.place / "root").exists())
            self.file("include/config/auto.conf", auto_conf)
            metadata.touch()

    def test_dkms_tells_before_it_builds(self) -> None:
        """What DKMS is told is a command of this checkout, and names what the build makes."""
        top = support.SCRIPTS.parent
        names = "PRE_BUILD MAKE BUILT_MODULE_NAME[0] BUILT_MODULE_NAME[1] BUILT_MODULE_LOCATION[0]"
        show = " ".join(f'"${{{name}}}"' for name in names.split())
        script = f". ./dkms.conf; printf '%s\\n' {show}"
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=top,
            env={"PATH": os.environ["PATH"], "kernel_source_dir": str(self.kdir)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        pre, make, first, second, place = done.stdout.splitlines()
        self.assertEqual((first, second, place), ("krdma", "rrds", "build/modules"))
        self.assertEqual(make, f"make modules KDIR={self.kdir}")
        (self.kdir / "rust/libkernel.rmeta").unlink()
        status, text = run("sh", "-c", f"cd {top} && {pre}")
        self.assertEqual(status, 1)
        self.assertIn("rust/libkernel.rmeta", text)

    def test_objects_of_another_kernel_go(self) -> None:
        self.check()
        old = Path(self.mo / "krdma.o")
        old.write_text("")
        self.check()
        self.assertTrue(old.exists())
        self.file("include/config/kernel.release", "7.3.5-test\n")
        self.check()
        self.assertFalse(old.exists())

    def test_objects_go_with_the_kernels_folder(self) -> None:
        self.check()
        old = Path(self.mo / "krdma.o")
        old.write_text("")
        self.kdir = self.kdir.rename(self.place / "elsewhere")
        self.assertEqual(self.check(), (0, ""))
        self.assertFalse(old.exists())


if __name__ == "__main__":
    unittest.main()
