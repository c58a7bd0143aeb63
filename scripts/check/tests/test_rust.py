# SPDX-License-Identifier: GPL-2.0
"""The tokenizer: what is code, what is not, and where a statement begins."""

from __future__ import annotations

import unittest

from check.rust import Source, tokens


def kinds(text: str) -> list[tuple[str, str]]:
    return [(t.kind, t.text) for t in tokens(text)]


class Tokens(unittest.TestCase):
    def test_strings_and_comments_are_no_code(self) -> None:
        text = r"""
            let a = "unsafe { \" }"; // unsafe
            let b = r#"unsafe " "#; /* unsafe /* unsafe */ unsafe */
            let c = b"unsafe"; let d = c"unsafe"; let e = br"unsafe\";
        """
        code = [t.text for t in tokens(text) if t.kind == "ident"]
        self.assertEqual(code, ["let", "a", "let", "b", "let", "c", "let", "d", "let", "e"])

    def test_characters_and_lifetimes(self) -> None:
        self.assertEqual(
            kinds(r"""'a' 'a '\'' '"' b'\n' '\u{1F600}' 'static"""),
            [
                ("literal", "'a'"),
                ("lifetime", "'a"),
                ("literal", r"'\''"),
                ("literal", "'\"'"),
                ("literal", r"b'\n'"),
                ("literal", r"'\u{1F600}'"),
                ("lifetime", "'static"),
            ],
        )

    def test_documentation_is_told_from_comments(self) -> None:
        found = [
            t.kind for t in tokens("/// a\n//! b\n// c\n//// d\n/** e */\n/* f */\n/**/\n/*! g */")
        ]
        self.assertEqual(
            found, ["doc", "doc", "comment", "comment", "doc", "comment", "comment", "doc"]
        )

    def test_lines(self) -> None:
        found = tokens('a\n"x\ny" b\n/* \n */ c')
        self.assertEqual([(t.line, t.end) for t in found], [(1, 1), (2, 3), (3, 3), (4, 5), (5, 5)])

    def test_raw_identifiers_and_numbers(self) -> None:
        self.assertEqual(
            [t for _, t in kinds("r#unsafe 0x1f_u32 1.5 0..n")],
            ["r#unsafe", "0x1f_u32", "1.5", "0", "..", "n"],
        )

    def test_first_line_for_a_shell(self) -> None:
        self.assertEqual(kinds("#!/usr/bin/env rustx\nfn"), [("ident", "fn")])
        self.assertEqual([t for _, t in kinds("#![a]")], ["#", "!", "[", "a", "]"])


class Statements(unittest.TestCase):
    def start(self, text: str) -> str:
        """The first token of the statement that `HERE` is in."""
        source = Source(text)
        here = next(i for i, t in enumerate(source.code) if t.text == "HERE")
        return source.text(source.statement(here))

    def test_statements(self) -> None:
        for text, first in {
            "fn f() { a; let x = g(1, HERE); }": "let",
            "fn f() { let m: Map<A, B> = HERE; }": "let",
            "fn f() { a; b.c(|| { x }).d(HERE) }": "b",
            "fn f() { if a { b } HERE }": "HERE",
            "fn f() { if a { b } else { HERE } }": "HERE",
            "fn f() { let S { a, .. } = HERE; }": "let",
            "fn f() { match a { A { .. } | B { .. } => HERE } }": "A",
            "fn f() { for S { a } in HERE {} }": "for",
            "match a { X => 1, Y => HERE, }": "Y",
            "S { a: 1, b: HERE }": "b",
            "struct S; impl A<B, C> for HERE {}": "impl",
            "let x = [0; 4]; HERE": "HERE",
        }.items():
            with self.subTest(text):
                self.assertEqual(self.start(text), first)

    def test_header(self) -> None:
        source = Source("fn a() {} pub unsafe trait X<A, B>: Y { fn b(); }")
        brace = max(i for i, t in enumerate(source.code) if t.text == "{")
        self.assertEqual(
            source.header(brace),
            ["pub", "unsafe", "trait", "X", "<", "A", ",", "B", ">", ":", "Y"],
        )

    def test_attribute(self) -> None:
        source = Source("#[a(HERE)] #![b(HERE)] [HERE]")
        found = [source.attribute(i) for i, t in enumerate(source.code) if t.text == "HERE"]
        self.assertEqual(found, [True, True, False])
