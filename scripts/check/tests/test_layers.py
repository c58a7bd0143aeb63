# SPDX-License-Identifier: GPL-2.0
"""Who names whom is seen however it is written."""

from __future__ import annotations

from check.layers import CHECK, RULES, components
from check.modules import crate, names
from check.tests import Sample

_RULES = """
[[crate]]
root = "d/top.rs"
circles = true
[crate.layers.root]
files = ["top"]
names = ["*"]
[crate.layers.low]
files = ["low", "high/odd"]
names = []
[crate.layers.high]
files = ["high"]
names = ["low"]
"""
# A crate that keeps to the rules.
_GOOD = {
    RULES: _RULES,
    "d/top.rs": "mod low;\nmod high;\npub(crate) use high::part::{Thing, Other};\n",
    "d/low.rs": "pub(crate) struct Low;\n",
    "d/high.rs": "pub(crate) mod part;\nmod odd;\nuse crate::low::Low;\nstruct High(Low);\n",
    "d/high/part.rs": "pub(crate) struct Thing;\npub(crate) struct Other;\n",
    "d/high/odd.rs": "fn odd() {}\n",
}


class Names(Sample):
    def edges(self, files: dict[str, str]) -> set[tuple[str, str]]:
        tree = self.tree(_GOOD | files)
        return {(file, other) for file, other, _ in names(crate(tree, "d/top.rs"))}

    def low_names_part(self, text: str) -> bool:
        return ("d/low.rs", "d/high/part.rs") in self.edges({"d/low.rs": text})

    def test_every_way_of_naming(self) -> None:
        for text in (
            "use crate::high::part::Thing;\n",
            "use crate::{high::{part::{Other, Thing}, self}, low};\n",
            "use crate::{\n    high::part::{\n        self,\n        Thing, //\n    }, //\n};\n",
            "use crate::high::part as p;\nfn f(x: p::Thing) {}\n",
            "use crate::high::part::*;\n",
            "use super::high::part::Thing as T;\n",
            "fn f(x: &crate::high::part::Thing) {}\n",
            "fn f() { let x = super::high::part::Thing::new::<u8>(); }\n",
            "fn f() { use crate::high; g(high::part::Thing); }\n",
            "mod inner { use super::super::high::part::Thing; }\n",
            "macro_rules! m { () => { $crate::high::part::Thing }; }\n",
            "#[cfg(not(test))]\nuse crate::high::part::Thing;\n",
            # By a name that the root re-exports.
            "use crate::Thing;\n",
            "use super::{Thing as T};\n",
        ):
            with self.subTest(text=text):
                self.assertTrue(self.low_names_part(text))

    def test_what_is_no_naming(self) -> None:
        for text in (
            "// crate::high::part::Thing\n",
            "/// [`Thing`](crate::high::part::Thing)\nfn f() {}\n",
            'fn f() { g("crate::high::part::Thing"); }\n',
            "use other::high::part::Thing;\n",
            "fn f(high: u8) { high.part.thing(); }\n",
            "#[kunit_tests(low)]\nmod tests {\n    use crate::high::part::Thing;\n}\nfn f() {}\n",
            "#[cfg(test)]\nuse crate::high::part::Thing;\n",
            "fn f() -> impl Sized + use<'_> { 1 }\n",
        ):
            with self.subTest(text=text):
                self.assertFalse(self.low_names_part(text))

    def test_a_module_that_gathers_names(self) -> None:
        edge = ("d/top.rs", "d/high/part.rs")
        self.assertNotIn(edge, self.edges({}))
        for use in ("use high::part::Thing;\n", "pub(crate) use high::part::Thing;\n"):
            text = f"mod low;\nmod high;\n{use}fn f(x: Thing) {{}}\n"
            self.assertIn(edge, self.edges({"d/top.rs": text}))

    def test_what_a_macro_makes_in_the_root(self) -> None:
        got = self.edges({"d/low.rs": "fn f() { crate::module_parameters::x.value(); }\n"})
        self.assertNotIn(("d/low.rs", "d/top.rs"), got)
        got = self.edges(
            {
                "d/low.rs": "fn f() { crate::number(); }\n",
                "d/top.rs": _GOOD["d/top.rs"] + "fn number() {}\n",
            }
        )
        self.assertIn(("d/low.rs", "d/top.rs"), got)


class Rules(Sample):
    def test_good(self) -> None:
        self.passes(CHECK, _GOOD)

    def test_violation(self) -> None:
        bad = {"d/low.rs": "\nuse crate::high::part::Thing;\n"}
        message = "d/low.rs:2: names d/high/part.rs: `low` may not name `high`"
        self.fails(CHECK, _GOOD | bad, message)

    def test_the_longest_name_counts(self) -> None:
        bad = {"d/high/odd.rs": "use super::part::Thing;\n"}
        self.fails(CHECK, _GOOD | bad, "`low` may not name `high`")

    def test_a_file_of_no_layer(self) -> None:
        top = _GOOD["d/top.rs"] + "mod new;\n"
        self.fails(CHECK, _GOOD | {"d/top.rs": top, "d/new.rs": ""}, "d/new.rs: in no layer")

    def test_circle(self) -> None:
        ring = {
            "d/high.rs": "pub(crate) mod part;\nuse part::Thing;\npub(crate) struct High(Thing);\n",
            "d/high/part.rs": "use super::High;\npub(crate) struct Thing;\npub(crate) struct Other;\n",
        }
        self.fails(CHECK, _GOOD | ring, "in a circle: d/high.rs, d/high/part.rs")
        self.fails(CHECK, _GOOD | ring, "d/high/part.rs:1: names d/high.rs")

    def test_circles_are_looked_for_where_the_rules_say_so(self) -> None:
        rules = _RULES.replace("circles = true\n", "")
        ring = {
            "d/high.rs": "pub(crate) mod part;\nuse part::Thing;\npub(crate) struct High(Thing);\n",
            "d/high/part.rs": "use super::High;\npub(crate) struct Thing;\npub(crate) struct Other;\n",
        }
        self.passes(CHECK, _GOOD | ring | {RULES: rules})

    def test_components(self) -> None:
        self.assertEqual(
            sorted(components({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": ["e"], "e": ["d"]})),
            [["a"], ["b", "c"], ["d", "e"]],
        )

    def test_mistakes_in_the_rules(self) -> None:
        self.fails(CHECK, _GOOD | {RULES: _RULES.replace('["low"]\n', '["lov"]\n')}, "no layer")
        self.fails(CHECK, _GOOD | {RULES: "[["}, RULES)
        self.fails(CHECK, {k: v for k, v in _GOOD.items() if k != RULES}, "is missing")
