# SPDX-License-Identifier: GPL-2.0
"""Finding a Debian mirror: the user's choice, else what this machine's own apt uses.

No host name is written down here: a machine behind a private mirror must work as it is.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from host.errors import Failure

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Names that suites of the Debian archive have (a derivative's archive has others).
DEBIAN_SUITES = frozenset(
    {"buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"}
    | {"oldoldstable", "oldstable", "stable", "testing", "unstable", "experimental"}
)
_USABLE = ("http", "https", "file", "copy")


@dataclass(frozen=True)
class Source:
    """One archive that apt was told of: an address with suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


def parse_list(text: str) -> Iterator[Source]:
    """The one-line format: deb [option=value ...] URI SUITE COMPONENT..."""
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s*)?(.*)", line)
        if not match:
            continue
        try:
            # cdrom:[...] has blanks inside its brackets.
            words = shlex.split(re.sub(r"\[[^]]*\]", "[]", match[2]))
        except ValueError:
            continue
        if len(words) < 2:
            continue
        options = dict(
            word.split("=", 1) for word in (match[1] or "").split() if "=" in word.strip("=")
        )
        yield Source(words[0], (words[1],), tuple(words[2:]), options)


def parse_sources(text: str) -> Iterator[Source]:
    """The deb822 format: stanzas of fields, apart by blank lines."""
    for stanza in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                if name:
                    fields[name] += f"\n{line.strip()}"
                continue
            name, colon, value = line.partition(":")
            name = name.strip().lower()
            if colon and name:
                fields[name] = value.strip()
            else:
                name = ""
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without"):
            continue
        suites = tuple(fields.get("suites", "").split())
        components = tuple(fields.get("components", "").split())
        options = {
            key: value for key, value in fields.items() if key in ("signed-by", "architectures")
        }
        for uri in fields.get("uris", "").split():
            yield Source(uri, suites, components, options)


def machine_sources(etc: Path) -> list[Source]:
    """Everything in the machine's sources.list and sources.list.d."""
    found: list[Source] = []
    paths = [etc / "sources.list"]
    folder = etc / "sources.list.d"
    if folder.is_dir():
        paths += sorted(path for path in folder.iterdir() if path.suffix in (".list", ".sources"))
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found += parse_sources(text) if path.suffix == ".sources" else parse_list(text)
    return found


def expand(uri: str) -> list[str]:
    """The addresses behind one: mirror+file: names a file of them, others stand for themselves."""
    if uri.startswith("mirror+file:"):
        path = "/" + uri.split(":", 1)[1].lstrip("/")
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return [uri]


def rank(source: Source, all_sources: list[Source]) -> int:
    """How sure it is that this is the Debian archive itself; 0 for no."""
    bases = {re.sub(r"-(updates|backports|proposed-updates)$", "", s) for s in source.suites}
    if not bases & DEBIAN_SUITES or "main" not in source.components:
        return 0
    path = urlsplit(source.uri).path.rstrip("/")
    if "security" in source.uri or any("security" in suite for suite in source.suites):
        return 0
    score = 1
    if path.endswith("/debian"):
        score += 2
    if "debian-archive" in source.options.get("signed-by", ""):
        score += 2
    same = {suite for other in all_sources if other.uri == source.uri for suite in other.suites}
    if any(suite.endswith("-updates") for suite in same):
        score += 4
    return score


def template_mirror(template: Path) -> list[str]:
    """The Debian archive's own address as python-apt knows it (Ubuntu has that file too)."""
    try:
        text = template.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    match = re.search(r"^BaseURI:\s*(\S+)\s*$", text, re.MULTILINE)
    return [match[1].rstrip("/")] if match else []


def candidates(
    chosen: str,
    etc: Path = Path("/etc/apt"),
    template: Path = Path("/usr/share/python-apt/templates/Debian.info"),
) -> list[str]:
    """Addresses to try, the likeliest first; empty when nothing is known."""
    if chosen:
        if urlsplit(chosen).scheme not in _USABLE:
            raise Failure(
                "KRDMA_MIRROR",
                f"{chosen!r} is not the address of a mirror",
                "Give it as http://... or https://..., ending before /dists.",
            )
        return [chosen.rstrip("/")]
    sources = machine_sources(etc)
    ranked = sorted(
        ((rank(source, sources), source.uri) for source in sources), key=lambda pair: -pair[0]
    )
    found: list[str] = []
    for score, listed in ranked:
        for uri in expand(listed) if score else []:
            address = uri.rstrip("/")
            if urlsplit(address).scheme in _USABLE and address not in found:
                found.append(address)
    return found or template_mirror(template)


def missing() -> Failure:
    """What to say when there is no candidate."""
    return Failure(
        "no Debian mirror",
        "this machine's apt sources name none, and KRDMA_MIRROR is not set",
        "Set KRDMA_MIRROR to the address of a Debian mirror (ending before /dists).",
    )


def source_lines(mirror: str, suites: list[str], keyring: str = "") -> list[str]:
    """sources.list for a build root or the private index."""
    keyring = keyring or os.environ.get("KRDMA_KEYRING", "") or KEYRING
    return [f"deb [signed-by={keyring}] {mirror} {suite} main" for suite in suites]
