# SPDX-License-Identifier: GPL-2.0
"""A small tokenizer for Rust, and just enough structure to say where a statement begins.

A grep cannot tell an `unsafe` in a string or a doc example from a real one, nor find the comment
that belongs to a block in the middle of a long expression. This can, and needs no compiler, so
it also sees code that the configuration at hand compiles out and code inside macros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<doc>///(?!/)[^\n]* | //![^\n]* )
  | (?P<comment>//[^\n]*)
  | (?P<block>/\*)
  | (?P<raw>[bc]?r(?P<hashes>\#*)")
  | (?P<literal>
        [bc]?"(?:[^"\\]|\\.)*"
      | b?'(?:[^'\\]|\\(?:u\{[^}]*\}|x..|.))'
      | \d\w*(?:\.\d\w*)?
    )
  | (?P<lifetime>'(?:r\#)?[^\W\d]\w*)
  | (?P<ident>(?:r\#)?[^\W\d]\w*)
  | (?P<punct>::|->|=>|\.\.=|\.\.\.|\.\.|&&|\|\||==|!=|<=|>=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = {close: opening for opening, close in _OPEN.items()}
# After these a `}` does not end a statement: the expression goes on.
_GOES_ON = {".", "?", "else", ")", "]", "as", "in", "=", ":", "|", "&&", "==", "!=", "=>"}


@dataclass(frozen=True)
class Token:
    kind: str  # ident, lifetime, literal, punct, comment or doc
    text: str
    line: int
    end: int  # the last line it is on
    at: int = 0  # where in the text it begins


def tokens(text: str) -> list[Token]:
    """Every token of a file, comments included, white space left out."""
    found: list[Token] = []
    at, line = 0, 1
    if text.startswith("#!") and not text.startswith("#!["):
        at = text.find("\n") if "\n" in text else len(text)
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, "the last alternative takes any character"
        kind, end = str(match.lastgroup), match.end()
        if kind == "hashes" or match["raw"]:
            kind = "literal"
            close = text.find('"' + match["hashes"], end)
            end = len(text) if close < 0 else close + 1 + len(match["hashes"])
        elif kind == "block":
            end = _block_end(text, at)
            kind = "doc" if re.match(r"/\*(\*(?![*/])|!)", text[at:]) else "comment"
        piece = text[at:end]
        if kind != "space":
            found.append(Token(kind, piece, line, line + piece.count("\n"), at))
        line += piece.count("\n")
        at = end
    return found


def _block_end(text: str, at: int) -> int:
    """The end of a block comment; they nest."""
    depth = 0
    for match in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return at + match.end()
    return len(text)


class Source:
    """A Rust file: its code tokens, the comments before each, and which bracket closes which."""

    def __init__(self, text: str) -> None:
        self.code: list[Token] = []
        self.before: list[list[Token]] = []
        pending: list[Token] = []
        for token in tokens(text):
            if token.kind in ("comment", "doc"):
                pending.append(token)
            else:
                self.code.append(token)
                self.before.append(pending)
                pending = []

    @cached_property
    def partner(self) -> dict[int, int]:
        """Index of the matching bracket, both ways."""
        found: dict[int, int] = {}
        opened: list[int] = []
        for i, token in enumerate(self.code):
            if token.kind != "punct":
                continue
            if token.text in _OPEN:
                opened.append(i)
            elif token.text in _CLOSE and opened:
                j = opened.pop()
                found[i], found[j] = j, i
        return found

    @cached_property
    def parent(self) -> list[int | None]:
        """For each token the innermost bracket it is in."""
        found: list[int | None] = []
        opened: list[int] = []
        for i, token in enumerate(self.code):
            punct = token.kind == "punct"
            if punct and token.text in _CLOSE and opened:
                opened.pop()
            found.append(opened[-1] if opened else None)
            if punct and token.text in _OPEN:
                opened.append(i)
        return found

    def text(self, i: int) -> str:
        """The token's text, or nothing past either end."""
        return self.code[i].text if 0 <= i < len(self.code) else ""

    def texts(self, first: int, end: int) -> list[str]:
        return [t.text for t in self.code[first:end]]

    def statement(self, i: int, *, items: bool = True) -> int:
        """Index of the first token of the statement, match arm, field or item that `i` is in.

        Brackets around `i` other than braces are part of it, closed brackets before `i` are
        passed over. With `items` a comma directly in braces (an arm, a field) is a border too.
        """
        comma: int | None = None
        at = i - 1
        while at >= 0:
            token = self.code[at]
            if token.kind == "punct":
                if token.text in ")]":
                    at = self.partner.get(at, at)
                elif token.text == "}":
                    if self.text(at + 1) not in _GOES_ON:
                        return self._border(at + 1, comma)
                    at = self.partner.get(at, at)
                elif token.text in "([":
                    comma = None
                elif token.text in "{;":
                    return self._border(at + 1, comma if token.text == "{" else None)
                elif token.text == "," and items and comma is None:
                    comma = at + 1
            at -= 1
        return self._border(0, comma)

    def _border(self, first: int, comma: int | None) -> int:
        # In `let x: Map<A, B> = ..` the comma is no border.
        if comma is None or self.text(first) in ("let", "const", "static", "return", "type"):
            return first
        return comma

    def header(self, brace: int) -> list[str]:
        """What stands before an opening brace: `unsafe impl<T> Foo for Bar<T>`, `pub trait X`."""
        return self.texts(self.statement(brace, items=False), brace)

    def attribute(self, i: int) -> bool:
        """Whether the token is inside `#[..]` or `#![..]`."""
        inside = self.parent[i]
        while inside is not None:
            if self.text(inside) == "[" and (
                self.text(inside - 1) == "#"
                or (self.text(inside - 1) == "!" and self.text(inside - 2) == "#")
            ):
                return True
            inside = self.parent[inside]
        return False
