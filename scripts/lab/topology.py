# SPDX-License-Identifier: GPL-2.0
"""A test's .toml file: which nodes, joined how, running what. Every mistake is named with its
place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

from .env import LabError
from .klog import KINDS

# More than five times what takes longest of all that name none: it only says when a test hangs.
DEFAULT_TIMEOUT = 600
DEFAULT_MEMORY = 512
DEFAULT_MTU = 9000
MAX_NODES, MAX_LINKS = 64, 16
NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
NETEM = ("loss", "delay", "duplicate", "reorder", "corrupt", "rate")


class TopologyError(LabError):
    """The .toml file says something that makes no sense."""


@dataclass(frozen=True)
class Link:
    """One Ethernet segment between nodes; netem settings hold on each end."""

    index: int
    nodes: tuple[str, ...]
    mtu: int = DEFAULT_MTU
    netem: str = ""


@dataclass(frozen=True)
class Nic:
    """A node's end of a link. Everything follows from the two indices, so that any node can name
    any other.
    """

    link: Link
    node: int
    slot: int

    @property
    def name(self) -> str:
        return f"eth{self.slot}"

    @property
    def mac(self) -> str:
        return f"52:54:00:{self.link.index:02x}:00:{self.node + 1:02x}"

    @property
    def ipv4(self) -> str:
        return f"10.0.{self.link.index}.{self.node + 1}"

    @property
    def ipv6(self) -> str:
        return f"fd00:0:0:{self.link.index:x}::{self.node + 1:x}"


@dataclass(frozen=True)
class NodeSpec:
    name: str
    index: int
    script: Path
    memory: int
    cpus: int
    append: str
    nics: tuple[Nic, ...]
    # It may go through a reset and boot again.
    resets: bool = False
    # Under emulation the clock counts instructions instead of time.
    icount: bool = False


@dataclass(frozen=True)
class Allowed:
    """A kernel report that this test provokes on purpose, and why."""

    kind: str
    match: re.Pattern[str]
    reason: str


@dataclass(frozen=True)
class Test:
    name: str
    description: str
    timeout: float
    modules: tuple[str, ...]
    builds: dict[str, str]
    stock: tuple[str, ...]
    tools: tuple[str, ...]
    programs: tuple[str, ...]
    params: dict[str, str]
    nodes: tuple[NodeSpec, ...]
    links: tuple[Link, ...]
    allowed: tuple[Allowed, ...] = ()
    # What [strict] sets on the strict kernel, and whether the test runs nowhere else.
    strict: dict[str, str] = field(default_factory=dict)
    strict_only: bool = False
    soak: bool = False
    soak_only: bool = False

    @property
    def slots(self) -> int:
        """How many of the machine's processors this test keeps busy."""
        return len(self.nodes)


@dataclass
class _Table:
    """A TOML table that knows where it stands, and complains of keys nobody asked for."""

    place: str
    values: dict[str, Any]
    used: set[str] = field(default_factory=set)

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        self.used.add(key)
        if key not in self.values:
            return default
        value = self.values[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise TopologyError(f"{self.place}: {key} is {value!r}, but must be of type {wanted}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise TopologyError(f"{self.place}: {key} must be a list of names")
        return tuple(values)

    def done(self) -> None:
        unknown = sorted(self.values.keys() - self.used)
        if unknown:
            known = ", ".join(sorted(self.used))
            raise TopologyError(f"{self.place}: unknown key {', '.join(unknown)} (known: {known})")

    def tables(self, key: str) -> list[_Table]:
        values = self.take(key, list, [])
        if not all(isinstance(value, dict) for value in values):
            raise TopologyError(f"{self.place}: write [[{key}]] for each {key}")
        return [_Table(f"{self.place}: {key} {i}", value) for i, value in enumerate(values, 1)]


def _netem(table: _Table) -> str:
    """The link's settings as arguments of `tc qdisc add ... netem`."""
    words: list[str] = []
    for key in NETEM:
        value = table.take(key, (str, int, float))
        if value is None:
            continue
        if key in ("delay", "rate"):
            if not isinstance(value, str):
                raise TopologyError(f'{table.place}: {key} needs a unit, as in "10ms" or "100mbit"')
            words += [key, *value.split()]
            continue
        if isinstance(value, str) or not 0 <= value <= 100:
            raise TopologyError(f"{table.place}: {key} is {value!r}, but must be a percentage")
        words += [key, f"{value}%"]
    if "reorder" in words and "delay" not in words:
        raise TopologyError(f"{table.place}: reorder needs a delay, or nothing can overtake")
    return " ".join(words)


def _links(table: _Table, names: list[str]) -> tuple[Link, ...]:
    links = []
    for index, entry in enumerate(table.tables("link")):
        nodes = entry.names("nodes") or tuple(names)
        for node in nodes:
            if node not in names:
                raise TopologyError(f"{entry.place}: no node is called {node!r}")
        if len(nodes) < 2 or len(set(nodes)) != len(nodes):
            raise TopologyError(f"{entry.place}: a link joins two or more different nodes")
        mtu = entry.take("mtu", int, DEFAULT_MTU)
        if not 1280 <= mtu <= 9000:
            raise TopologyError(f"{entry.place}: mtu is {mtu}, but must be 1280 to 9000")
        links.append(Link(index, nodes, mtu, _netem(entry)))
        entry.done()
    if len(links) > MAX_LINKS:
        raise TopologyError(f"{table.place}: more than {MAX_LINKS} links")
    return tuple(links)


def _node(
    entry: _Table,
    name: str,
    index: int,
    links: tuple[Link, ...],
    folder: Path,
    alone: bool,
    stem: str,
):
    script = folder / entry.take("script", str, f"{stem}.sh")
    if not script.is_file():
        raise TopologyError(f"{entry.place}: its script {script} does not exist")
    memory = entry.take("memory", int, DEFAULT_MEMORY)
    # A second processor shows races, but the nodes of one test share the machine's own.
    cpus = entry.take("cpus", int, 2 if alone else 1)
    if not (128 <= memory <= 65536 and 1 <= cpus <= 64):
        raise TopologyError(f"{entry.place}: memory must be 128 to 65536 (MiB), cpus 1 to 64")
    append = entry.take("append", str, "")
    resets = entry.take("resets", bool, False)
    icount = entry.take("icount", bool, False)
    if icount and cpus != 1:
        raise TopologyError(f"{entry.place}: with icount there can be one processor only")
    entry.done()
    joined = [link for link in links if name in link.nodes]
    nics = tuple(Nic(link, index, slot) for slot, link in enumerate(joined))
    return NodeSpec(name, index, script, memory, cpus, append, nics, resets, icount)


def _allowed(table: _Table) -> tuple[Allowed, ...]:
    found = []
    for entry in table.tables("allow"):
        kind, match = entry.take("kind", str, ""), entry.take("match", str, "")
        reason = entry.take("reason", str, "")
        if kind not in KINDS or not match or not reason:
            raise TopologyError(
                f"{entry.place}: needs match, reason, and a kind of: {', '.join(sorted(KINDS))}"
            )
        try:
            found.append(Allowed(kind, re.compile(match), reason))
        except re.error as error:
            raise TopologyError(f"{entry.place}: match is no regular expression: {error}") from None
        entry.done()
    return tuple(found)


def _params(table: _Table, key: str) -> dict[str, str]:
    values = table.take(key, dict, {})
    for name, value in values.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not isinstance(value, (str, int, float)):
            raise TopologyError(
                f"{table.place}: {key}.{name} must be a lower-case name with one value"
            )
    return {name.upper(): str(value) for name, value in values.items()}


def _builds(table: _Table) -> dict[str, str]:
    """Further builds of our modules: folder below build/ -> make variables."""
    values = table.take("builds", dict, {})
    for folder, settings in values.items():
        if not NAME.fullmatch(folder) or not isinstance(settings, str):
            raise TopologyError(f'{table.place}: write builds as folder = "VARIABLE=value"')
    return dict(values)


def parse(text: str, path: Path, *, soak: bool = False) -> Test:
    """Read a test; with `soak`, its [soak] values replace those of [params] and of timeout."""
    try:
        table = _Table(path.name, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(f"{path.name}: {error}") from None
    description = table.take("description", str, "")
    if not description:
        raise TopologyError(f"{path.name}: say in `description` what the test shows")
    entries = table.tables("node") or [_Table(f"{path.name}: node 1", {})]
    names = [entry.take("name", str, chr(ord("a") + i)) for i, entry in enumerate(entries)]
    for name in names:
        if not NAME.fullmatch(name) or names.count(name) > 1:
            raise TopologyError(f"{path.name}: {name!r} is no good name for one node")
    if len(names) > MAX_NODES:
        raise TopologyError(f"{path.name}: more than {MAX_NODES} nodes")
    links = _links(table, names)
    alone = len(names) == 1
    nodes = tuple(
        _node(entry, name, index, links, path.parent, alone, path.stem)
        for index, (entry, name) in enumerate(zip(entries, names, strict=True))
    )
    params, over = _params(table, "params"), _params(table, "soak")
    timeout = table.take("timeout", (int, float), DEFAULT_TIMEOUT)
    if soak:
        timeout = float(over.pop("TIMEOUT", timeout))
        params |= over
    if timeout <= 0:
        raise TopologyError(f"{path.name}: timeout must be more than 0 seconds")
    test = Test(
        name=path.stem,
        description=description,
        timeout=float(timeout),
        modules=table.names("modules"),
        builds=_builds(table),
        stock=table.names("stock"),
        tools=table.names("tools"),
        programs=table.names("programs"),
        params=params,
        nodes=nodes,
        links=links,
        allowed=_allowed(table),
        strict=_params(table, "strict"),
        strict_only=table.take("strict_only", bool, False),
        soak="soak" in table.values,
        soak_only=table.take("soak_only", bool, False),
    )
    table.done()
    return test


def load(path: Path, *, soak: bool = False) -> Test:
    try:
        text = path.read_text()
    except OSError as error:
        raise TopologyError(f"{path}: {error.strerror}") from None
    return parse(text, path, soak=soak)
