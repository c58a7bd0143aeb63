# SPDX-License-Identifier: GPL-2.0
"""Which file of a Rust crate names which other one.

A path counts for the file that defines what it leads to: re-exports are followed. So a module can
gather the names of its children without that its children, when they use these names, depend on
all of it. Code that only tests compile is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from check.core import Tree
from check.rust import Source

_ITEMS = {"struct", "enum", "union", "fn", "trait", "type", "const", "static", "macro_rules"}
_TESTS = {"test", "kunit_tests", "CONFIG_KUNIT", "CONFIG_RUST_KUNIT"}

Path = tuple[str, ...]


@dataclass
class Use:
    """One name that a `use` brings in, or all of a module."""

    path: Path
    line: int
    public: bool


@dataclass
class Module:
    file: str
    parent: Module | None
    children: dict[str, Module] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)
    uses: dict[str, Use] = field(default_factory=dict)
    globs: list[Use] = field(default_factory=list)
    # Paths in code other than `use`: the path and its line.
    paths: list[tuple[Path, int]] = field(default_factory=list)

    def root(self) -> Module:
        return self if self.parent is None else self.parent.root()

    def everything(self) -> Iterator[Module]:
        yield self
        for child in self.children.values():
            yield from child.everything()

    def within(self, other: Module) -> bool:
        """Whether this is the other module or a descendant of it."""
        return self is other or (self.parent is not None and self.parent.within(other))


def crate(tree: Tree, root: str) -> Module:
    """Read all files of the crate whose first file is `root`."""
    module = Module(root, None)
    _read_file(tree, module, root.rpartition("/")[0])
    return module


def _read_file(tree: Tree, module: Module, folder: str) -> None:
    source = Source(tree.text(module.file))
    _read(tree, module, source, folder, 0, len(source.code))


def _read(tree: Tree, module: Module, source: Source, folder: str, at: int, end: int) -> None:
    """Take in the tokens from `at` to `end`, whose files of child modules are in `folder`."""
    while at < end:
        token = source.code[at]
        text, after = token.text, source.text(at + 1)
        if text == "#" and after == "[":
            close = source.partner.get(at + 1, end)
            if _is_test(source.texts(at + 2, close)):
                at = _item_end(source, close + 1, end)
            else:
                _take_paths(module, source, at + 2, close)
                at = close + 1
            continue
        if token.kind == "ident" and text == "mod" and source.text(at + 2) in ("{", ";"):
            inside = f"{folder}/{after}" if folder else after
            child = Module(module.file, module)
            module.children[after] = child
            if source.text(at + 2) == ";":
                child.file = f"{inside}.rs"
                if not tree.path(child.file).is_file():
                    child.file = f"{inside}/mod.rs"
                if tree.path(child.file).is_file():
                    _read_file(tree, child, inside)
                at += 3
            else:
                close = source.partner.get(at + 2, end)
                _read(tree, child, source, inside, at + 3, close)
                at = close + 1
            continue
        if token.kind == "ident" and text == "use" and _begins_statement(source, at):
            first = source.statement(at, items=False)
            stop = at
            while stop < end and source.text(stop) != ";":
                stop += 1
            _tree_of_use(module, source, at + 1, stop, (), source.text(first) == "pub")
            at = stop + 1
            continue
        if token.kind == "ident" and text in _ITEMS:
            module.items.add(source.text(at + 2) if after == "!" else after)
        at = max(at + 1, _take_path(module, source, at, end))


def _is_test(attribute: list[str]) -> bool:
    return (
        bool(attribute)
        and (
            attribute[0] == "kunit_tests"
            or (attribute[0] == "cfg" and bool(_TESTS & set(attribute)))
        )
        and "not" not in attribute
    )


def _item_end(source: Source, at: int, end: int) -> int:
    """Past the item that begins at `at`: past its block or its semicolon."""
    while at < end:
        text = source.text(at)
        if text == ";":
            return at + 1
        if text in ("(", "[", "{"):
            at = source.partner.get(at, end)
            if text == "{":
                return at + 1
        at += 1
    return end


def _begins_statement(source: Source, at: int) -> bool:
    """Whether the `use` is not that of `impl Trait + use<'a>`."""
    return source.text(at + 1) != "<"


def _tree_of_use(
    module: Module, source: Source, at: int, end: int, before: Path, public: bool
) -> None:
    """Take in a tree such as `a::{self, b as c, d::*}` that stands from `at` to `end`."""
    path = before
    while at < end:
        text, line = source.text(at), source.code[at].line
        if text == "{":
            close = source.partner.get(at, end)
            first = at + 1
            while first < close:
                stop = first
                while stop < close and source.text(stop) != ",":
                    stop = (
                        source.partner.get(stop, stop) + 1 if source.text(stop) == "{" else stop + 1
                    )
                _tree_of_use(module, source, first, stop, path, public)
                first = stop + 1
            return
        if text == "*":
            module.globs.append(Use(path, line, public))
            return
        if text != "::":
            if text == "self" and path:
                pass  # `a::{self}` is `a`
            else:
                path = (*path, text)
            if source.text(at + 1) == "as":
                module.uses[source.text(at + 2)] = Use(path, line, public)
                return
            if source.text(at + 1) != "::":
                module.uses[path[-1]] = Use(path, line, public)
                return
        at += 1


def _take_paths(module: Module, source: Source, at: int, end: int) -> None:
    while at < end:
        at = max(at + 1, _take_path(module, source, at, end))


def _take_path(module: Module, source: Source, at: int, end: int) -> int:
    """Take in the path that begins at `at`, if one does; where it ends."""
    if source.code[at].kind != "ident" or source.text(at - 1) in (".", "::"):
        return at
    path, line = [source.text(at)], source.code[at].line
    at += 1
    while at + 1 < end and source.text(at) == "::" and source.code[at + 1].kind == "ident":
        path.append(source.text(at + 1))
        at += 2
    module.paths.append((tuple(path), line))
    return at


def resolve(module: Module, path: Path, depth: int = 0) -> Module | str | None:
    """The module a path leads to, or the file of the item; nothing if it leaves the crate."""
    if depth > 20 or not path:
        return None
    here: Module | str | None
    first, rest = path[0], path[1:]
    if first == "crate":
        here = module.root()
    elif first == "self":
        here = module
    elif first == "super":
        here = module.parent
    else:
        here, rest = _member(module, first, depth, local=True), path[1:]
    while rest and isinstance(here, Module):
        here = here.parent if rest[0] == "super" else _member(here, rest[0], depth, local=False)
        rest = rest[1:]
    return here


def _member(module: Module, name: str, depth: int, *, local: bool) -> Module | str | None:
    if name in module.children:
        return module.children[name]
    if name in module.items:
        return module.file
    if name in module.uses:
        use = module.uses[name]
        if use.path[0] != name:
            return resolve(module, use.path, depth + 1)
        # `use a::b` binds `b`; a `use a` alone, or `use a::a`, must not look itself up.
        return None if local and len(use.path) == 1 else _beyond(module, use, depth)
    for glob in module.globs:
        target = resolve(module, glob.path, depth + 1)
        if isinstance(target, Module) and target is not module:
            found = _member(target, name, depth + 1, local=True) if depth < 20 else None
            if found is not None:
                return found
    # What a macro has made is an item as well; in the root it is what `module!` makes in any case.
    return None if local or module.parent is None else module.file


def _beyond(module: Module, use: Use, depth: int) -> Module | str | None:
    first = use.path[0]
    here: Module | str | None = module.children.get(first)
    for name in use.path[1:]:
        if not isinstance(here, Module):
            break
        here = _member(here, name, depth + 1, local=False)
    return here


def names(root: Module) -> Iterator[tuple[str, str, int]]:
    """Each place where a file names another one: the two, and the line.

    That a module re-exports what its descendants define is no naming unless it uses the name itself.
    """
    for module in root.everything():
        used = {path[0] for path, _ in module.paths}
        wanted = [(path, line) for path, line in module.paths]
        wanted += [
            (use.path, use.line)
            for name, use in module.uses.items()
            if name in used or not (use.public and _of_descendant(module, use))
        ]
        globs = [g for g in module.globs if not (g.public and _of_descendant(module, g))]
        wanted += [(glob.path, glob.line) for glob in globs]
        for path, line in wanted:
            target = resolve(module, path)
            # A module alone is only a way to its items, but for `*`, which is all of them.
            if isinstance(target, Module) and path in [glob.path for glob in globs]:
                target = target.file
            if isinstance(target, str) and target != module.file:
                yield module.file, target, line


def _of_descendant(module: Module, use: Use) -> bool:
    target = resolve(module, use.path)
    if isinstance(target, Module):
        return target.within(module)
    return any(target == m.file for m in module.everything())
