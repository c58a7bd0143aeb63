# SPDX-License-Identifier: GPL-2.0
"""The checks that need no tool: licences, files, links, the README."""

from __future__ import annotations

from check import files, links, readme, spdx
from check.tests import Sample

ID = "SPDX-License-Identifier:"
TEXT = {"LICENSES/preferred/GPL-2.0": "the text\n"}


class Spdx(Sample):
    def test_styles(self) -> None:
        self.passes(
            spdx.CHECK,
            TEXT
            | {
                "a.c": f"// {ID} GPL-2.0\n",
                "a.h": f"/* {ID} GPL-2.0 */\n",
                "a.rs": f"// {ID} GPL-2.0-only\n",
                "a.sh": f"#!/bin/sh\n# {ID} GPL-2.0\n",
                "a.rst": f".. {ID} GPL-2.0\n",
                "README.md": f"<!-- {ID} GPL-2.0 -->\n",
                "Kbuild": f"# {ID} GPL-2.0\n",
                "a/__init__.py": "",
                "tools/Cargo.lock": "version = 3\n",
                "tools/fuzz/corpus/header/0": "\x01",
            },
        )

    def test_missing(self) -> None:
        for name in ("a.c", "a.rs", "Makefile", "a.sh", "a.toml", "doc.rst"):
            self.fails(spdx.CHECK, TEXT | {name: "hello\n"}, f"{name}:1: the first line is not")

    def test_wrong_style_or_place(self) -> None:
        self.fails(spdx.CHECK, TEXT | {"a.c": f"/* {ID} GPL-2.0 */\n"}, "a.c:1")
        self.fails(spdx.CHECK, TEXT | {"a.h": f"// {ID} GPL-2.0\n"}, "a.h:1")
        self.fails(spdx.CHECK, TEXT | {"a.py": f"import os\n# {ID} GPL-2.0\n"}, "a.py:1")

    def test_licence_without_its_text(self) -> None:
        self.fails(spdx.CHECK, TEXT | {"a.rs": f"// {ID} MIT\n"}, "no text of licence `MIT`")
        self.fails(spdx.CHECK, TEXT | {"a.rs": f"// {ID} GPL-2.0 OR MIT\n"}, "`MIT`")


class Files(Sample):
    def test_good(self) -> None:
        self.passes(
            files.CHECK,
            {
                "a.rs": "// See /proc/net and /sys/class, $HOME/x and ~/work/y.\n" * 10,
                "LICENSES/x": "line\n" * 900,
                "tools/fuzz/corpus/0": b"\0\1",
                "scripts/target/test.sh": "#!/bin/sh\nmktemp -d /tmp/x.XXXXXX\n",
            },
        )

    def test_length(self) -> None:
        self.passes(files.CHECK, {"a.rs": "x\n" * 800})
        self.fails(files.CHECK, {"a.rs": "x\n" * 801}, "a.rs: 801 lines")

    def test_built(self) -> None:
        for name in ("a.ko", "rust/x.rmeta", "a/x.pyc", "rust/bindings_generated.rs"):
            self.fails(files.CHECK, {name: "x"}, "is built")
        self.fails(files.CHECK, {"tools/x": b"\x7fELF\0"}, "is binary")

    def test_unfinished(self) -> None:
        for mark in ("FIX" + "ME", "X" * 3, "HA" + "CK"):
            self.fails(files.CHECK, {"a.c": f"\n/* {mark}: later */\n"}, f"a.c:2: `{mark}`")
        self.fails(files.CHECK, {"a.rs": "fn f() { to" + "do!() }\n"}, "a.rs:1")
        self.fails(files.CHECK, {"a.rs": "fn f() { unimple" + "mented!() }\n"}, "a.rs:1")

    def test_hosts(self) -> None:
        for host in (["deb", "debian", "org"], ["crates", "io"], ["files", "python", "org"]):
            name = ".".join(host)
            self.fails(files.CHECK, {"a.sh": f"get https://{name}/x\n"}, f"names the host `{name}`")
            self.passes(files.CHECK, {"tools/Cargo.lock": f'source = "{name}-index"\n'})

    def test_machine_paths(self) -> None:
        for path in ("/ho" + "me/me/x", "/ro" + "ot/.cargo", "/wo" + "rk/a"):
            self.fails(files.CHECK, {"a.py": f'x = "{path}"\n'}, "a path of one machine")


MAKEFILE = {"Makefile": "demo test:\n\t@true\nV := 1\n"}


class Links(Sample):
    def test_good(self) -> None:
        self.passes(
            links.CHECK,
            MAKEFILE
            | {
                "README.md": "[a](Documentation/index.rst#x) [b](https://example.org/) [c](#d)\n"
                "`make demo V=1` and `scripts/krdma` and `scripts/NAME.sh` and `net/sock.h`\n",
                "Documentation/index.rst": "`up <../README.md>`_ and ``make test``\n"
                ".. literalinclude:: ../Makefile\n",
                "scripts/krdma": "#!/bin/sh\n",
            },
        )

    def test_broken(self) -> None:
        self.fails(links.CHECK, MAKEFILE | {"README.md": "[a](gone.md)\n"}, "README.md:1: link to")
        self.fails(links.CHECK, MAKEFILE | {"d/a.rst": "`x <../gone>`_\n"}, "link to `../gone`")
        self.fails(links.CHECK, MAKEFILE | {"a.rst": ".. include:: gone.txt\n"}, "`gone.txt`")

    def test_paths_in_code_quotes(self) -> None:
        tree = MAKEFILE | {"scripts/krdma": "", "a.rst": "Run ``scripts/gone``.\n"}
        self.fails(links.CHECK, tree, "a.rst:1: names `scripts/gone`")

    def test_sections_cited_in_code(self) -> None:
        tree = MAKEFILE | {"Documentation/spec/wire.rst": ".. _spec-header:\n\nHeader\n======\n"}
        for good in ("//! Parsing (spec-header).", "let a = spec-gone;", "// `spec-gone.rst`"):
            self.passes(links.CHECK, tree | {"drivers/a.rs": good + "\n"})
        for bad in ("//! Parsing (spec-gone).", "let a = 1; // spec-header-gone", "// Spec §1.1"):
            self.fails(links.CHECK, tree | {"drivers/a.rs": "\n" + bad + "\n"}, "drivers/a.rs:2: ")
        self.fails(links.CHECK, tree | {"rust/a.c": "/* spec-gone */\n"}, "cites `spec-gone`")

    def test_make_targets(self) -> None:
        self.fails(links.CHECK, MAKEFILE | {"README.md": "Run `make gone`.\n"}, "`make gone`")


class Readme(Sample):
    GOOD = "```sh\n# both:\n$ make demo   # first\nmake test\n```\n```text\nmake nothing\n```\n"

    def setUp(self) -> None:
        self.runs = {name: text for name, text in readme.RUN_BY.values()}

    def test_good(self) -> None:
        self.passes(readme.CHECK, self.runs | {"README.md": self.GOOD})

    def test_command_that_nothing_runs(self) -> None:
        text = self.GOOD.replace("make test", "make test\nmake love")
        self.fails(readme.CHECK, self.runs | {"README.md": text}, "shows `make love`")

    def test_command_that_is_not_run_any_more(self) -> None:
        tree = self.runs | {"README.md": self.GOOD, ".ci/run": "true\n"}
        self.fails(readme.CHECK, tree, ".ci/run does not run `make test` any more")

    def test_command_that_is_not_shown_any_more(self) -> None:
        text = self.GOOD.replace("make test", "")
        self.fails(readme.CHECK, self.runs | {"README.md": text}, "does not show `make test`")
