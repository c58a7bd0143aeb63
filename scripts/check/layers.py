# SPDX-License-Identifier: GPL-2.0
"""Who may name whom, per folder, and no circles among files.

The rules are in layers.toml.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tomllib

from check.core import Check, Failed, Tree
from check.modules import crate, names

RULES = "scripts/check/layers.toml"


@dataclass
class Layer:
    name: str
    files: list[str]
    names: list[str]


class Crate:
    """The rules for one crate, and what its files name."""

    def __init__(self, tree: Tree, rules: dict) -> None:  # type: ignore[type-arg]
        self.root: str = rules["root"]
        self.circles: bool = rules.get("circles", False)
        self.layers = [
            Layer(name, layer["files"], layer["names"]) for name, layer in rules["layers"].items()
        ]
        known = {layer.name for layer in self.layers} | {"*"}
        for layer in self.layers:
            for name in layer.names:
                if name not in known:
                    raise Failed(f"{RULES}: `{layer.name}` may name `{name}`, which is no layer")
        module = crate(tree, self.root)
        self.files = {m.file for m in module.everything()}
        # Where a file first names another one.
        self.edges: dict[tuple[str, str], int] = {}
        for file, other, line in names(module):
            at = self.edges.setdefault((file, other), line)
            self.edges[file, other] = min(at, line)

    def layer(self, file: str) -> Layer | None:
        name = file.removeprefix(self.root.rpartition("/")[0] + "/").removesuffix(".rs")
        found: tuple[int, Layer | None] = (0, None)
        for layer in self.layers:
            for start in layer.files:
                if (name == start or name.startswith(start + "/")) and len(start) > found[0]:
                    found = (len(start), layer)
        return found[1]

    def strays(self) -> list[str]:
        return sorted(file for file in self.files if self.layer(file) is None)

    def violations(self) -> Iterator[tuple[str, str, int]]:
        for (file, other), line in sorted(self.edges.items()):
            here, there = self.layer(file), self.layer(other)
            if here is None or there is None or here is there or "*" in here.names:
                continue
            if there.name not in here.names:
                yield file, other, line

    def rings(self) -> list[list[str]]:
        """The circles: files each of which leads to all others of its circle."""
        if not self.circles:
            return []
        after: dict[str, list[str]] = {}
        for file, other in sorted(self.edges):
            after.setdefault(file, []).append(other)
        return sorted(c for c in components(after) if len(c) > 1)


def components(after: dict[str, list[str]]) -> list[list[str]]:
    """The strongly connected components, each sorted (Kosaraju)."""
    order: list[str] = []
    before: dict[str, list[str]] = {}
    for file, others in after.items():
        for other in others:
            before.setdefault(other, []).append(file)

    def visit(first: str, onward: dict[str, list[str]], seen: set[str]) -> list[str]:
        """What is reached for the first time, each after all that is reached from it."""
        left: list[str] = []
        pending = [(first, iter(onward.get(first, ())))]
        seen.add(first)
        while pending:
            file, others = pending[-1]
            for other in others:
                if other not in seen:
                    seen.add(other)
                    pending.append((other, iter(onward.get(other, ()))))
                    break
            else:
                pending.pop()
                left.append(file)
        return left

    seen: set[str] = set()
    for file in after:
        if file not in seen:
            order += visit(file, after, seen)
    seen = set()
    return [sorted(visit(f, before, seen)) for f in reversed(order) if f not in seen]


def rules(tree: Tree) -> list[Crate]:
    if not tree.path(RULES).is_file():
        raise Failed(f"{RULES} is missing")
    try:
        read = tomllib.loads(tree.text(RULES))
    except tomllib.TOMLDecodeError as e:
        raise Failed(f"{RULES}: {e}") from e
    return [Crate(tree, c) for c in read["crate"] if tree.path(c["root"]).is_file()]


def run(tree: Tree) -> list[str]:
    problems: list[str] = []
    for this in rules(tree):
        problems += [f"{file}: in no layer of {RULES}" for file in this.strays()]
        for file, other, line in this.violations():
            here, there = this.layer(file), this.layer(other)
            assert here is not None and there is not None
            problems.append(
                f"{file}:{line}: names {other}: `{here.name}` may not name `{there.name}`"
            )
        for ring in this.rings():
            inside = [
                f"{file}:{line}: names {other}"
                for (file, other), line in sorted(this.edges.items())
                if file in ring and other in ring
            ]
            problems.append(f"in a circle: {', '.join(ring)}")
            problems += inside
    return problems


CHECK = Check("layers", "who may name whom, per folder, and no circles among files", run)
