# SPDX-License-Identifier: GPL-2.0
"""The text a person reads points only at what is there: files, folders, make targets, sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from check.core import Check, Tree

# Markdown `[text](target)`; reST `text <target>`_ and the directives that take a file.
_MARKDOWN = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_REST = re.compile(
    r"`[^`<]*<([^`>\s]+)>`__?|^\s*\.\. (?:literalinclude|include|image|figure):: +(\S+)"
)
_PATH = re.compile(r"[\w.][\w./-]*/[\w./-]*\w")
_CODE = re.compile(r"``?([^`\n]+)``?")
_MAKE = re.compile(r"^make ((?:[a-z][\w-]*|[A-Z_]+=\S+)(?: (?:[a-z][\w-]*|[A-Z_]+=\S+))*)$")
_PLACEHOLDER = re.compile(r"\b(?:NAME|NODE|TEST|FOLDER)\b")
_ELSEWHERE = re.compile(r"^(?:[a-z][a-z+.-]*:|#|/)")
# A section of the specification: where it is, and where code cites it.
_SPECIFICATION = "Documentation/spec"
_LABEL = re.compile(r"^\.\. _(spec-[a-z0-9-]+):$", re.MULTILINE)
_COMMENT = re.compile(r"(?://|/\*|^\s*\*|#)(.*)")
_CITED = re.compile(r"(?<![\w`./-])spec-[a-z0-9]+(?:-[a-z0-9]+)*")
_NUMBERED = re.compile(r"\b[Ss]pec §")
_CODE_FILES = (".rs", ".c", ".h", ".py")


def targets(name: str, line: str) -> Iterator[str]:
    """What a line links to, as written."""
    for match in (_MARKDOWN if name.endswith(".md") else _REST).finditer(line):
        target = next(g for g in match.groups() if g)
        # What ends in .html is built, and looked for by the docs check.
        if not _ELSEWHERE.match(target) and ".html" not in target:
            yield target.split("#")[0]


def paths(tree: Tree, line: str) -> Iterator[str]:
    """Names in code quotes that look like a path of the checkout: first part a folder of it."""
    for match in _CODE.finditer(line):
        text = match[1].strip().rstrip("/")
        if _PATH.fullmatch(text) and not _PLACEHOLDER.search(text):
            folder = text.split("/")[0]
            if any(n.startswith(folder + "/") for n in tree.files()):
                yield text


def make_targets(tree: Tree) -> set[str]:
    """The targets that the Makefile has rules for."""
    found: set[str] = set()
    for match in re.finditer(r"^([\w -]+):(?!=)", tree.text("Makefile"), re.MULTILINE):
        found.update(match[1].split())
    return found


def citations(tree: Tree) -> list[str]:
    """Comments in code that cite a section of the specification which is not there."""
    labels = {
        label
        for name in tree.files(".rst", under=[_SPECIFICATION])
        for label in _LABEL.findall(tree.text(name))
    }
    found = []
    for name in tree.files(*_CODE_FILES, under=["drivers", "rust", "samples", "tools"]):
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            if comment := _COMMENT.search(line):
                where = f"{name}:{number}"
                found += [
                    f"{where}: cites `{cited}`, a label that {_SPECIFICATION}/ does not have"
                    for cited in _CITED.findall(comment[1])
                    if cited not in labels
                ]
                if _NUMBERED.search(comment[1]):
                    found.append(f"{where}: cites the specification by a number, not by a label")
    return found


def run(tree: Tree) -> list[str]:
    known = make_targets(tree) if tree.path("Makefile").is_file() else set()
    found = citations(tree)
    for name in tree.files(".md", ".rst"):
        folder = PurePosixPath(name).parent
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            where = f"{name}:{number}"
            for target in targets(name, line):
                if target and not (tree.root / folder / target).exists():
                    found.append(f"{where}: link to `{target}`, which does not exist")
            for path in paths(tree, line):
                if not (tree.root / path).exists():
                    found.append(f"{where}: names `{path}`, which does not exist")
            for code in _CODE.finditer(line):
                if make := _MAKE.match(code[1]):
                    words = [w for w in make[1].split() if "=" not in w]
                    found += [
                        f"{where}: `make {w}`, but the Makefile has no such target"
                        for w in words
                        if w not in known
                    ]
    return found


CHECK = Check("links", "links, paths, make targets and sections that are named exist", run)
