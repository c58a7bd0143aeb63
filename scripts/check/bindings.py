# SPDX-License-Identifier: GPL-2.0
"""The C bindings stay below the abstraction.

Outside rust/ nobody names them, under any of their names. Inside, no safe public item shows a
`bindings::` type or a raw pointer: what a client gets is Rust.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from check.core import Check, Tree
from check.rust import Source

_BELOW = "rust"
_ABSTRACTION = "rust/kernel"
# Compiled only to see that it does not compile.
_SAMPLES = "tests/compile-fail/"
# Between `pub` and `fn`.
_QUALIFIERS = {"const", "async", "extern", "unsafe"}


def outside(source: Source) -> Iterator[tuple[int, str]]:
    """Places where code above rust/ names the bindings."""
    for i, token in enumerate(source.code):
        if token.kind != "ident":
            continue
        if token.text == "krdma_bindings":
            yield token.line, "names krdma_bindings, outside rust/"
        elif token.text == "bindings" and (
            "::" in (source.text(i - 1), source.text(i + 1)) or _in_use(source, i)
        ):
            yield token.line, "names kernel::bindings, outside rust/"


def _in_use(source: Source, i: int) -> bool:
    at: int | None = i
    while at is not None:
        first = source.statement(at, items=False)
        if "use" in source.texts(first, at + 1):
            return True
        at = source.parent[first]
    return False


def inside(source: Source) -> Iterator[tuple[int, str]]:
    """Safe public items of the abstraction that show what is below."""
    for i, token in enumerate(source.code):
        if token.kind != "ident":
            continue
        if token.text == "pub" and source.text(i + 1) != "(":
            what, shown = _public(source, i)
        elif token.text == "fn" and _in_public_trait(source, i):
            what, shown = _function(source, i)
        elif token.text == "impl" and source.text(i - 1) != "unsafe":
            what, shown = _trait_of_impl(source, i)
        else:
            continue
        leak = _leak(shown)
        if leak:
            yield token.line, f"{what} shows {leak}"


def _public(source: Source, i: int) -> tuple[str, list[str]]:
    """What the public item at `i` is called and the tokens that a user of it gets to see."""
    at = i + 1
    while source.text(at) in _QUALIFIERS or source.code[at].kind == "literal":
        if source.text(at) == "const" and source.text(at + 1) not in {"fn", *_QUALIFIERS}:
            break
        at += 1
    kind, name = source.text(at), source.text(at + 1)
    match kind:
        case "fn":
            return _function(source, at)
        case "use":
            return "pub use", _shown(source, at, ";")
        case "type":
            return f"pub type {name}", _shown(source, at, ";")
        case "const" | "static":
            return f"pub {kind} {name}", _shown(source, at, "=", ";")
        case "struct" | "enum" | "union" | "mod" | "trait" | "macro" | "auto" | "unsafe":
            return "", []  # their public parts are looked at where these stand
    # A field: `pub name: Type` in braces, `pub Type` in parentheses.
    return f"pub field {kind}", _shown(source, at, ",")


def _function(source: Source, fn: int) -> tuple[str, list[str]]:
    if "unsafe" in source.texts(max(fn - 4, source.statement(fn)), fn):
        return "", []
    return f"pub fn {source.text(fn + 1)}", _shown(source, fn, "{", ";")


def _trait_of_impl(source: Source, i: int) -> tuple[str, list[str]]:
    """The trait and its arguments: `impl From<bindings::x> for Y` is a public way in."""
    header = _shown(source, i, "{", ";")
    if "for" not in header:
        return "", []
    return "impl of a trait", header[: header.index("for")]


def _shown(source: Source, at: int, *ends: str) -> list[str]:
    """The tokens up to the first of `ends` on this level, or to what closes the bracket around.

    A constant in a type, `Name<{ bindings::NAME_MAX as usize }>`, is a number and left out.
    """
    found: list[str] = []
    while at < len(source.code):
        text, end = source.text(at), source.partner.get(at, at)
        if text == "{" and source.text(at - 1) in ("<", ","):
            at = end + 1
            continue
        if text in ends or text in (")", "]", "}"):
            break
        if text not in ("(", "[", "{"):
            end = at
        found += source.texts(at, end + 1)
        at = end + 1
    return found


def _in_public_trait(source: Source, fn: int) -> bool:
    brace = source.parent[fn]
    if brace is None or source.text(brace) != "{":
        return False
    header = source.header(brace)
    if "trait" not in header or "pub" not in header:
        return False
    return header[header.index("pub") + 1] != "("


def _leak(shown: list[str]) -> str | None:
    for first, second in pairwise(shown):
        if first in ("bindings", "krdma_bindings") and second in ("::", "as", ";"):
            return "a type of the C bindings"
        if first == "*" and second in ("const", "mut"):
            return "a raw pointer"
    return None


def run(tree: Tree) -> list[str]:
    found = []
    for name in tree.files(".rs"):
        source = None
        if name.startswith(_SAMPLES):
            continue
        if not name.startswith(_BELOW + "/"):
            source = outside(Source(tree.text(name)))
        elif name.startswith(_ABSTRACTION + "/"):
            source = inside(Source(tree.text(name)))
        found += [f"{name}:{line}: {message}" for line, message in source or ()]
    return found


CHECK = Check("bindings", "no C binding or raw pointer in what a client of krdma sees", run)
