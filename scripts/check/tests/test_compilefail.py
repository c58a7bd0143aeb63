# SPDX-License-Identifier: GPL-2.0
"""What must not compile: reading kbuild's commands, and comparing errors with what was announced."""

from __future__ import annotations

from check.compilefail import announced, commands, errors, open_to
from check.tests import Sample, needs

COMMAND = (
    "OBJTREE=/k RUST_MODFILE=./a clippy-driver --edition=2021 --extern krdma=./rust/kernel/l.rmeta "
    "-Ldependency=./rust/bindings -Zcrate-attr='feature(a,b)' --out-dir samples/ "
    "--emit=dep-info=samples/.a.o.d --emit=obj=samples/a.o /k/samples/a.rs  "
)


class Commands(Sample):
    def test_rust_objects_outside_rust(self) -> None:
        build = self.tree(
            {
                "samples/.a.o.cmd": f"savedcmd_samples/a.o := {COMMAND}\n\nsource_samples/a.o := x\n",
                "rust/kernel/.krdma.o.cmd": f"savedcmd_rust/kernel/krdma.o := {COMMAND}\n",
                "samples/.c.o.cmd": "savedcmd_samples/c.o := gcc -c -o samples/c.o c.c ; objtool x\n",
            }
        ).root
        ((name, words),) = commands(build)
        self.assertEqual(name, "samples/a.o")
        self.assertIn("-Zcrate-attr=feature(a,b)", words)

    def test_flags_that_open_the_bindings(self) -> None:
        self.assertIsNone(open_to(COMMAND.split()))
        for flags in (
            "--extern krdma_bindings=./l.rmeta",
            "--extern=krdma_bindings",
            "-L ./rust/bindings",
            "-L./rust/bindings",
            "-Lcrate=./rust/bindings",
        ):
            self.assertIsNotNone(open_to([*COMMAND.split(), *flags.split()]), flags)


OTHER = (
    "A=b clippy-driver --edition=2021 --crate-type=rlib -Dwarnings "
    "--out-dir x --emit=obj=x/a.o /x/a.rs"
)


class Errors(Sample):
    @needs("rustc")
    def test_line_and_code(self) -> None:
        for text, expected in {
            "pub fn f() {}\n": set(),
            "extern crate gone;\n": {(1, "E0463")},
            "\npub fn f() { 1 }\n": {(2, "E0308")},
            "fn f() {}\n": {(1, "dead_code")},
        }.items():
            tree = self.tree({"a.rs": text})
            self.assertEqual(errors(OTHER.split(), tree.path("a.rs"), tree.root), expected)
            self.assertEqual(tree.files(), ["a.rs"], "left something behind")

    def test_announced(self) -> None:
        self.assertEqual(
            announced("a\nb //~ E0463\nc //~ E0001 //~ E0002\n// E0003\n"),
            {(2, "E0463"), (3, "E0001"), (3, "E0002")},
        )
