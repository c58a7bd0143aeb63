# SPDX-License-Identifier: GPL-2.0
"""Every mutant applies to the engine as it is, and is found again when code has moved."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mutants
from anchor import Crate, Lost
from bugs import MUTANTS, Mutant
from check.rust import tokens

_CODE = """\
impl<T: Fn(u8)> Queue<T> {
    fn first(&self) -> bool { self.len < 4 }
    fn second(&mut self) { self.len = min(self.len, other(1)); self.len = 0; self.len = 0; }
}
impl Other for Queue<u8> {
    fn third(&self);
    fn first(&self) -> bool { self.len > 4 }
}
fn alone() { let x = 1; }
"""


def code(text: str) -> list[str]:
    return [t.text for t in tokens(text) if t.kind not in ("comment", "doc")]


class Mutants(unittest.TestCase):
    def test_each_applies(self) -> None:
        found = mutants.places(mutants.ROOT)
        self.assertEqual(sorted(found), sorted(m.name for m in MUTANTS))
        for m in MUTANTS:
            with self.subTest(m.name):
                self.assertNotEqual(code(m.before), code(m.after))

    def test_names_are_unique(self) -> None:
        names = [m.name for m in MUTANTS]
        self.assertEqual(len(names), len(set(names)))

    def test_a_lost_one_is_named(self) -> None:
        lost = [
            Mutant("gone", "", "Queue::no_such_function", "a", "b"),
            Mutant("changed", "", "SendQueue::on_ack", "no_such_code()", ""),
        ]
        with self.assertRaises(SystemExit) as caught:
            mutants.places(mutants.ROOT, [*MUTANTS, *lost])
        self.assertIn("gone: there is no function `Queue::no_such_function`", str(caught.exception))
        self.assertIn("changed: `SendQueue::on_ack` does not contain", str(caught.exception))


class Anchors(unittest.TestCase):
    def crate(self, files: dict[str, str]) -> Crate:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = Path(folder.name)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return Crate(root)

    def found(self, crate: Crate, where: str, fragment: str) -> str:
        place = crate.find(where, fragment)
        return place.file.read_text()[place.start : place.end]

    def test_in_the_function_only(self) -> None:
        crate = self.crate({"a.rs": _CODE})
        self.assertEqual(self.found(crate, "Queue::first", "self.len<4"), "self.len < 4")
        self.assertEqual(self.found(crate, "a::alone", "let x = 1"), "let x = 1")
        for where, fragment, why in (
            ("Queue::first", "self.len", "2 times"),
            ("Queue::second", "self.len < 4", "does not contain"),
            ("Queue::second", "self.len = 0;", "2 times"),
            ("Queue::third", "self", "no function"),
            ("b::alone", "let x = 1", "no function"),
        ):
            with self.subTest(where=where), self.assertRaisesRegex(Lost, why):
                crate.find(where, fragment)

    def test_wherever_it_is_and_however_it_is_formatted(self) -> None:
        moved = _CODE.replace(
            "min(self.len, other(1))",
            "min(\n        // A comment.\n        self.len,\n        other(1),\n    )",
        )
        crate = self.crate({"b/c.rs": "mod inner {\n" + moved + "}\n"})
        for fragment in ("min(self.len, other(1))", "min(\n    self.len,\n    other(1),\n)"):
            self.assertIn("A comment", self.found(crate, "Queue::second", fragment))
        self.assertEqual(self.found(crate, "c::inner::alone", "let x = 1;"), "let x = 1;")

    def test_the_module_tells_functions_apart(self) -> None:
        crate = self.crate({"a.rs": _CODE, "b.rs": _CODE})
        with self.assertRaisesRegex(Lost, "2 times: .*a.rs, .*b.rs"):
            crate.find("Queue::first", "self.len < 4")
        self.assertEqual(crate.find("b::Queue::first", "self.len < 4").file.name, "b.rs")

    def test_replaced(self) -> None:
        crate = self.crate({"a.rs": _CODE})
        got = crate.find("Queue::first", "< 4").replaced(_CODE, "<= 4")
        self.assertEqual(got, _CODE.replace("self.len < 4", "self.len <= 4"))


if __name__ == "__main__":
    unittest.main()
