# SPDX-License-Identifier: GPL-2.0
"""The machine's apt with a state of its own in the cache: any user can run it, apt checks all.

apt verifies the index by the archive's signature and each package by the index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from host import mirror
from host.errors import CommandFailed, Failure
from host.progress import Step
from host.runner import Runner

# Settings of the machine's apt that are about reaching a mirror (proxies, certificates, dates);
# whatever would weaken the checks stays behind.
_TAKEN = re.compile(r"Acquire::(http|https|ftp|Retries|ForceIPv|Check-|Max-|Min-|Queue|Send|Proxy)")


class Apt:
    """A private apt: `lists` and status are the cache's, never the machine's."""

    def __init__(self, folder: Path, runner: Runner, suites: list[str]) -> None:
        self.folder = folder
        self.runner = runner
        self.suites = suites
        self.conf = folder / "apt.conf"
        self.acquire: list[str] = []

    def set_up(self, step: Step, address: str) -> None:
        """Write the configuration for one mirror."""
        for name in ("lists/partial", "cache/archives/partial", "etc"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("")
        lines = mirror.source_lines(address, self.suites)
        (self.folder / "sources.list").write_text("\n".join(lines) + "\n")
        self.acquire = host_settings(self.runner.run(step, ["apt-config", "dump"], quiet=True))
        settings = {
            # Only this file counts: no hooks and no index targets of the machine.
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": self.folder,
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Update::Error-Mode": "any",
            # The cache may lie where the user _apt cannot go; the namespace is the fence here.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
        self.conf.write_text(text + "\n".join(self.acquire) + "\n")

    @property
    def env(self) -> Mapping[str, str]:
        return {"APT_CONFIG": str(self.conf)}

    def update(self, step: Step, address: str) -> None:
        """Fetch the index; Failure says what the mirror or the network answered."""
        try:
            lines = self.runner.run(step, ["apt-get", "-q", "update"], env=self.env)
        except CommandFailed as error:
            raise index_failure(address, error.tail, self.suites) from None
        if any(re.match(r"(E:|Err:|W: (Failed to fetch|GPG error))", line) for line in lines):
            raise index_failure(address, lines, self.suites)

    def search(self, step: Step, pattern: str) -> list[str]:
        """Names of packages in the index."""
        argv = ["apt-cache", "--names-only", "search", pattern]
        return [
            line.split()[0]
            for line in self.runner.run(step, argv, env=self.env, quiet=True)
            if line.strip()
        ]

    def show(self, step: Step, names: list[str]) -> list[dict[str, str]]:
        """What the index says of those packages that it has, the preferred version first."""
        argv = ["apt-cache", "show", *names]
        lines = self.runner.run(step, argv, env=self.env, quiet=True)
        stanzas: list[dict[str, str]] = [{}]
        for line in lines:
            if not line.strip():
                stanzas.append({})
            elif line[0] not in " \t" and ":" in line:
                key, _, value = line.partition(":")
                stanzas[-1][key] = value.strip()
        return [stanza for stanza in stanzas if "Package" in stanza]

    def download(self, step: Step, wanted: list[str], into: Path) -> None:
        """Fetch NAME=VERSION packages; what is there already is checked, and continued if part."""
        into.mkdir(parents=True, exist_ok=True)
        try:
            self.runner.run(step, ["apt-get", "-q", "download", *wanted], cwd=into, env=self.env)
        except CommandFailed as error:
            raise Failure(
                "download failed",
                apt_reason(error.tail),
                "Run it again: it continues where it stopped.",
            ) from None


def host_settings(dump: list[str]) -> list[str]:
    """The lines of `apt-config dump` that say how this machine reaches a mirror."""
    return [
        line for line in dump if _TAKEN.match(line) and '"' in line and not line.endswith(' "";')
    ]


def apt_reason(lines: list[str]) -> str:
    """What of apt's output says why."""
    for kind in ("E: ", "W: "):
        for line in lines:
            text = line.strip().removeprefix(kind)
            general = "Some index files failed" in text or "Unable to fetch some" in text
            if line.strip().startswith(kind) and not general:
                return re.sub(r"^Failed to fetch \S+\s+", "", text)
    return lines[-1].strip() if lines else "apt-get said nothing"


def index_failure(address: str, lines: list[str], suites: list[str]) -> Failure:
    """Why the package index could not be had, by what apt printed."""
    text = "\n".join(lines)
    what = f"no package index from {address}"
    if "NO_PUBKEY" in text or "not signed" in text or "GPG error" in text:
        why = next((line for line in lines if "NO_PUBKEY" in line or "signed" in line), lines[-1])
        return Failure(
            what,
            re.sub(r"^[EW]: ", "", why.strip()),
            "The mirror is not the Debian archive, or this machine's debian-archive-keyring is"
            " too old for it: update that package, or set KRDMA_MIRROR.",
        )
    if "does not have a Release file" in text or "404" in text:
        return Failure(
            what,
            f"it has no {' or no '.join(suites[:1])} suite ({apt_reason(lines)})",
            "Set KRDMA_MIRROR to a Debian mirror that has it, or KRDMA_SUITE to another suite.",
        )
    return Failure(
        what,
        apt_reason(lines),
        "Check the network and the proxy settings, or set KRDMA_MIRROR to another Debian mirror.",
    )
