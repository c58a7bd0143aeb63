# SPDX-License-Identifier: GPL-2.0
"""What a command inside the root sees: variables, files, mount points."""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import Any

import support
from host import sandbox
from host.config import Config


class Environment(unittest.TestCase):
    def environment(self, **env: str) -> dict[str, str]:
        place = support.folder(self)
        config = Config(checkout=place / "co", cache=place / "ca", verbose=True, started=5.5)
        return sandbox.environment(config, env)

    def test_users_settings_pass(self) -> None:
        given = {
            "http_proxy": "http://p.invalid:1",
            "HTTPS_PROXY": "http://p.invalid:2",
            "no_proxy": "x",
            "SSL_CERT_FILE": "/ca.pem",
            "PIP_INDEX_URL": "http://i.invalid",
            "CARGO_NET_RETRY": "2",
            "KRDMA_ACCEL": "tcg",
            "TESTS": "a*",
            "NO_COLOR": "1",
            "CI": "true",
        }
        env = self.environment(**given)
        self.assertEqual({name: env.get(name) for name in given}, given)

    def test_what_would_change_builds_does_not(self) -> None:
        given = ["MAKEFLAGS", "CFLAGS", "RUSTFLAGS", "LD_PRELOAD", "PYTHONHOME", "ARCH", "CC"]
        given += ["KDIR", "M", "O", "SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY"]
        env = self.environment(**dict.fromkeys(given, "x"))
        self.assertEqual([name for name in given if name in env], [])

    def test_own_values(self) -> None:
        env = self.environment(HOME="/users/u", CARGO_HOME="/c", PATH="/evil", V="0")
        self.assertTrue(env["HOME"].endswith("/ca/home"))
        self.assertTrue(env["CARGO_HOME"].endswith("/ca/cargo"))
        self.assertTrue(env["PYTHONPATH"].endswith("/co/scripts"))
        self.assertNotIn("evil", env["PATH"])
        self.assertEqual((env["V"], env["KRDMA_INSIDE"], env["KRDMA_STARTED"]), ("1", "1", "5.5"))


class MountList(unittest.TestCase):
    def setUp(self) -> None:
        self.place = support.folder(self)
        self.root = self.place / "cache" / "root"
        for name in ("usr", "etc", "var", "usr/bin", "usr/lib"):
            (self.root / name).mkdir(parents=True)
        (self.root / "bin").symlink_to("usr/bin")

    def mounts(self, checkout: str, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
        config = Config(checkout=Path(checkout), cache=self.place / "cache")
        return sandbox.mounts(config, self.root, Path("/top"), env or {})

    def at(self, entries: list[dict[str, Any]], path: str) -> list[str]:
        return [entry["kind"] for entry in entries if entry["at"] == f"/top{path}"]

    def test_same_paths_as_outside(self) -> None:
        entries = self.mounts("/users/u/krdma")
        self.assertEqual(self.at(entries, "/users/u/krdma")[-1], "bind")
        self.assertEqual(self.at(entries, f"{self.place}/cache")[-1], "bind")

    def test_links_stay_links(self) -> None:
        self.assertEqual(self.at(self.mounts("/users/u/krdma"), "/bin"), ["link"])

    def test_checkout_below_a_bound_folder(self) -> None:
        # /usr is read-only by then: its mount point is made in the root itself.
        entries = self.mounts("/usr/src/krdma-0.1")
        made = [entry for entry in entries if entry["at"] == f"{self.root}/usr/src/krdma-0.1"]
        self.assertEqual([entry["kind"] for entry in made], ["dir"])
        self.assertEqual(self.at(entries, "/usr/src/krdma-0.1"), ["bind"])

    def test_checkout_below_tmp_comes_after_the_fresh_tmp(self) -> None:
        kinds = [entry["at"] for entry in self.mounts("/tmp/krdma")]
        self.assertLess(kinds.index("/top/tmp"), kinds.index("/top/tmp/krdma"))

    def test_named_certificates_are_seen(self) -> None:
        bundle = self.place / "own.pem"
        bundle.write_text("x")
        env = {"SSL_CERT_FILE": str(bundle), "PIP_CERT": "/nonexistent"}
        entries = self.mounts("/users/u/krdma", env)
        self.assertEqual(self.at(entries, str(bundle)), ["file", "bind"])
        self.assertEqual(self.at(entries, "/nonexistent"), [])

    def test_cargo_settings_are_seen(self) -> None:
        home = self.place / "home"
        (home / ".cargo").mkdir(parents=True)
        (home / ".cargo" / "config.toml").write_text("")
        entries = self.mounts("/users/u/krdma", {"HOME": str(home)})
        self.assertEqual(
            self.at(entries, f"{self.place}/cache/cargo/config.toml"), ["file", "bind"]
        )

    def test_worktree_finds_its_repository(self) -> None:
        git = self.place / "repo" / ".git"
        (git / "worktrees" / "w").mkdir(parents=True)
        (git / "worktrees" / "w" / "commondir").write_text("../..\n")
        tree = self.place / "tree"
        tree.mkdir()
        (tree / ".git").write_text(f"gitdir: {git}/worktrees/w\n")
        self.assertEqual(sandbox.git_folders(tree), [os.path.realpath(git)])
        self.assertEqual(sandbox.git_folders(self.place), [])


if __name__ == "__main__":
    unittest.main()
