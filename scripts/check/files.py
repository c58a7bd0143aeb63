# SPDX-License-Identifier: GPL-2.0
"""What may not be in a tracked file, and which files may not be tracked."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from check.core import Check, Tree

MAX_LINES = 800
# Long by nature: a licence, and what a tool writes and people only compare.
_ANY_LENGTH = ("LICENSES/", "tools/Cargo.lock")
_DATA = re.compile(r"(^|/)(corpus|seeds)/")

_BUILT = re.compile(
    r"\.(o|a|so|ko|mod|rlib|rmeta|d|cmd|pyc|order|symvers|deb|xz|gz|zst|cpio|qcow2|img)$"
    r"|(^|/)(bindings|exports|abi)_\w*generated\.\w+$"
    r"|^(build|tools/target)/"
)

# The pieces are joined here so that this file does not contain what it looks for.
_MARKERS = re.compile(
    r"\b(?:" + "|".join(["FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b"
    r"|\b(?:to" + r"do|unimple" + r"mented)!"
)
_HOSTS = re.compile(
    r"\b(?:deb|snapshot|security|archive|ports|ftp\d?|mirrors?|packages|static|index|crates|pypi"
    r"|files|registry|registry-1|proxy|cdn|cloudfront)(?:\.[a-z0-9-]+)*\.(?:org|com|net|io|dev)\b"
)
_MACHINE_PATHS = re.compile(r"(?<![\w.$})~/-])/(?:home|root|work|Users|opt|srv)/[\w.]")
# Cargo writes into its lock file which registry a crate came from; it is not looked up by it.
_LOCK = "Cargo.lock"


def of_name(name: str) -> str | None:
    if _BUILT.search(name):
        return f"{name}: is built, not written; leave it out of the repository"
    return None


def of_content(name: str, content: bytes) -> list[str]:
    if b"\0" in content:
        return [f"{name}: is binary; the project keeps sources only"]
    lines = content.decode("utf-8", errors="replace").splitlines()
    found = []
    if len(lines) > MAX_LINES and not name.startswith(_ANY_LENGTH):
        found.append(f"{name}: {len(lines)} lines, more than {MAX_LINES}; split it by concern")
    for number, line in enumerate(lines, 1):
        if marker := _MARKERS.search(line):
            found.append(f"{name}:{number}: `{marker[0]}` marks unfinished work")
        if (host := _HOSTS.search(line)) and PurePosixPath(name).name != _LOCK:
            found.append(f"{name}:{number}: names the host `{host[0]}`; derive it or leave it out")
        if path := _MACHINE_PATHS.search(line):
            found.append(f"{name}:{number}: a path of one machine, `{path[0]}..`")
    return found


def run(tree: Tree) -> list[str]:
    found = []
    for name in tree.files():
        if _DATA.search(name) or name.startswith("LICENSES/"):
            continue
        if built := of_name(name):
            found.append(built)
        else:
            found += of_content(name, tree.path(name).read_bytes())
    return found


CHECK = Check(
    "files", f"no built or binary file, none over {MAX_LINES} lines, nothing unfinished", run
)
