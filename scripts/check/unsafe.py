# SPDX-License-Identifier: GPL-2.0
"""Where `unsafe` may stand, and what has to be written beside it.

Only rust/, the one C API file and the two crates of tools/ that make system calls may use it. There every
unsafe block, impl and attribute has a SAFETY comment of its own directly above, and every unsafe
function and trait says in a `# Safety` section what its caller has to guarantee.
"""

from __future__ import annotations

import re

from check.core import Check, Tree
from check.rust import Source, Token

_ALLOWED = (
    "rust",
    "drivers/rrds/capi.rs",
    "tools/rds/src/sys.rs",
    "tools/rds/src/sys",
    "tools/raw",
)
# Attributes that can break soundness without the keyword (edition 2021 lets them).
_UNSAFE_ATTRIBUTES = {"no_mangle", "export_name", "link_section"}
_SAFETY = re.compile(r"\bSAFETY:(?!\s*TO[D]O\b)")
_SECTION = re.compile(r"^\s*(?:///|//!|/?\*+)?\s*#+ Safety\s*$", re.MULTILINE)


def problems(source: Source, *, allowed: bool) -> list[tuple[int, str]]:
    """Line and message for everything wrong in one file."""
    found = []
    for i, token in enumerate(source.code):
        if token.kind != "ident":
            continue
        if token.text == "unsafe":
            message = _argued(source, i) if allowed else "`unsafe` outside rust/"
        elif token.text in _UNSAFE_ATTRIBUTES and source.attribute(i) and not allowed:
            message = f"`{token.text}` is an unsafe attribute, outside rust/"
        else:
            continue
        if message:
            found.append((token.line, message))
    return found


def _argued(source: Source, i: int) -> str | None:
    """What is missing beside the `unsafe` at `i`."""
    kind = _kind(source, i)
    if kind == "type":
        return None
    if kind in ("fn", "trait"):
        if kind == "fn" and _in_trait_impl(source, i):
            return None  # the trait's own documentation says what the caller has to guarantee
        if _documented(source, i):
            return None
        return f"`unsafe {kind}` without a `# Safety` section in its documentation"
    if kind is None:
        return f"`unsafe {source.text(i + 1)}`: not known to this check"
    if _commented(source, i):
        return None
    return f"unsafe {kind} without a SAFETY comment of its own directly above"


def _kind(source: Source, i: int) -> str | None:
    after = i + 1
    if source.text(after) == "extern":
        after += 2 if source.code[after + 1 : after + 2] and _literal(source, after + 1) else 1
        if source.text(after) == "{":
            return "extern block"
    match source.text(after):
        case "{":
            return "block"
        case "impl":
            return "impl"
        case "(":
            return "attribute"
        case "fn":
            return "type" if source.text(after + 1) == "(" else "fn"
        case "trait" | "auto":
            return "trait"
    return None


def _literal(source: Source, i: int) -> bool:
    return source.code[i].kind == "literal"


def _in_trait_impl(source: Source, i: int) -> bool:
    brace = source.parent[i]
    if brace is None or source.text(brace) != "{":
        return False
    header = source.header(brace)
    # `for` that is not the `for<'a>` of a bound.
    names = [t for t, after in zip(header, [*header[1:], "{"], strict=True) if after != "<"]
    return "impl" in header and "for" in names


def _documented(source: Source, i: int) -> bool:
    first = source.statement(i)
    docs = [c.text for j in range(first, i + 1) for c in source.before[j] if c.kind == "doc"]
    return any(_SECTION.search(d) for d in docs)


def _commented(source: Source, i: int) -> bool:
    """One comment argues for one `unsafe`: the search ends at the one before."""
    first = source.statement(i)
    for j in range(i, first - 1, -1):
        if j < i and source.code[j].text == "unsafe":
            return False
        previous = source.code[j - 1].end if j > 0 else 0
        if _above(source.before[j], previous, source.code[j].line):
            return True
    return False


def _above(comments: list[Token], previous: int, line: int) -> bool:
    """Whether a SAFETY comment ends directly above `line`, with no blank line between.

    A comment that begins on the line of the code before it (`previous`) belongs to that code.
    """
    for comment in reversed(comments):
        if comment.end < line - 1 or comment.line == previous:
            return False
        if _SAFETY.search(comment.text):
            return True
        line = comment.line
    return False


def run(tree: Tree) -> list[str]:
    found = []
    for name in tree.files(".rs"):
        allowed = any(name == a or name.startswith(a + "/") for a in _ALLOWED)
        for line, message in problems(Source(tree.text(name)), allowed=allowed):
            found.append(f"{name}:{line}: {message}")
    return found


CHECK = Check("unsafe", "`unsafe` only where it may be, each one argued", run)
