# SPDX-License-Identifier: GPL-2.0
"""The checks that run a tool: that what the tool says becomes a failure, and a missing tool too."""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from unittest import mock

from check import checkpatch, python, rustbuild, shell
from check.core import Check, Failed, Skipped, Tree, outcome, start
from check.tests import Sample, needs

KERNEL = Path(os.environ.get("KRDMA_KDIR", "/nonexistent"))


needs_kernel = unittest.skipUnless((KERNEL / "Makefile").is_file(), "no kernel tree")


class Core(Sample):
    def end(self, run: object) -> tuple[bool, list[str]]:
        return outcome(Check("x", "x", run), Tree(Path("/")))  # type: ignore[arg-type]

    def test_lines(self) -> None:
        self.assertEqual(self.end(lambda tree: []), (True, ["ok x"]))
        self.assertEqual(
            self.end(lambda tree: ["a", "b"]), (False, ["not ok x - 2 problems", "# a", "# b"])
        )

        def skip(tree: Tree) -> list[str]:
            raise Skipped("nothing")

        def fail(tree: Tree) -> list[str]:
            raise Failed("why", ["how"])

        self.assertEqual(self.end(skip), (True, ["ok x # SKIP nothing"]))
        self.assertEqual(self.end(fail), (False, ["not ok x - why", "# how"]))

    def test_missing_tool_is_a_failure(self) -> None:
        with self.assertRaisesRegex(Failed, "no-such-tool is not installed"):
            start(["no-such-tool"])

    @needs("git")
    def test_only_tracked_files(self) -> None:
        tree = self.tree({"a.py": "", "b.py": "", "build/c.py": ""})
        self.assertEqual(tree.files(".py"), ["a.py", "b.py"])
        start(["git", "init", "-q"], cwd=tree.root)
        start(["git", "add", "a.py"], cwd=tree.root)
        self.assertEqual(Tree(tree.root).files(), ["a.py"])


@needs("shellcheck")
class Shell(Sample):
    def test_by_name_and_by_first_line(self) -> None:
        good, bad = '#!/bin/sh\necho "$1"\n', "#!/bin/sh\necho $1\n"
        self.passes(shell.CHECK, {"a.sh": good, "b": good})
        self.fails(shell.CHECK, {"a.sh": bad}, "a.sh:2", "SC2086")
        self.fails(shell.CHECK, {"b": bad}, "b:2", "SC2086")


CONFIG = {".ruff.toml": 'line-length = 100\n[lint]\nextend-select = ["I"]\n'}


class Ruff(Sample):
    @needs_kernel
    def test_lint_and_format(self) -> None:
        self.passes(python.CHECK, CONFIG | {"a.py": "import os\n\nprint(os.name)\n"})
        self.fails(python.CHECK, CONFIG | {"a.py": "import os\n"}, "a.py:1", "F401")
        self.fails(python.CHECK, CONFIG | {"a.py": "print( 'x' )\n"}, "a.py:1", "unformatted")

    def test_unreachable_index_is_a_failure(self) -> None:
        cache = self.tree({}).root
        nowhere = {
            "KRDMA_CACHE": str(cache),
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
            "PIP_NO_INDEX": "",
            "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "0",
            "PIP_CONFIG_FILE": os.devnull,
        }
        with mock.patch.dict(os.environ, nowhere):
            self.fails(python.CHECK, {"a.py": ""}, "could not install ruff")
        self.assertEqual(list(cache.iterdir()), [])

    def test_hash_is_checked(self) -> None:
        text = python.REQUIREMENTS.read_text()
        self.assertRegex(text, r"(?m)^ruff==[\d.]+ \\\n +--hash=sha256:[0-9a-f]{64}$")


@needs_kernel
class Rust(Sample):
    @needs("rustfmt")
    def test_rustfmt(self) -> None:
        self.passes(rustbuild.RUSTFMT, {"a.rs": "fn main() {}\n"})
        self.fails(rustbuild.RUSTFMT, {"a.rs": "fn main () {}\n"}, "a.rs:1")

    @needs("cargo", "cargo-clippy")
    def test_clippy_host(self) -> None:
        manifest = '[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n'
        lock = 'version = 3\n\n[[package]]\nname = "a"\nversion = "0.1.0"\n'
        tree = {"tools/Cargo.toml": manifest, "tools/Cargo.lock": lock}
        self.passes(rustbuild.CLIPPY_HOST, tree | {"tools/src/lib.rs": "pub fn f() {}\n"})
        bad = "pub fn f() -> bool {\n    let x = true;\n    return x;\n}\n"
        self.fails(rustbuild.CLIPPY_HOST, tree | {"tools/src/lib.rs": bad}, "unneeded `return`")

    @needs("perl")
    def test_checkpatch(self) -> None:
        head = "// SPDX-License-Identifier: GPL-2.0\n"
        self.passes(checkpatch.CHECK, {"a.c": head + "int a;\n"})
        self.fails(checkpatch.CHECK, {"a.c": head + "int *  a;\n"}, "a.c:2", "POINTER_LOCATION")
        self.fails(checkpatch.CHECK, {"a.c": "int a;\n"}, "SPDX_LICENSE_TAG")

    def test_clippy_kernel_fails_with_the_build(self) -> None:
        self.fails(rustbuild.CLIPPY_KERNEL, {"Kbuild": "obj-m := gone.o\n"}, "gone")
