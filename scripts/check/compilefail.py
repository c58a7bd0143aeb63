# SPDX-License-Identifier: GPL-2.0
"""What must not compile in a client of krdma and rrds does not, and for the reason it should not.

Each file of tests/compile-fail/ is compiled as a client module would be, with the very command that
kbuild used for one of both. The errors must be those that its `//~ CODE` comments announce, on their lines;
a file without such a comment must compile.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from check.core import Check, Failed, Skipped, Tree, start
from check.rustbuild import make

_FOLDER = "tests/compile-fail"
# The build that users get: nothing is compiled twice for this check.
_VARIANT = "modules"
_MARK = re.compile(r"//~ (E\d{4})")
_SAVED = re.compile(r"^savedcmd_(\S+) := (.*)$")
_OUTPUTS = ("--emit=", "--out-dir", "-o")


def commands(build: Path) -> Iterator[tuple[str, list[str]]]:
    """Object and words of the command for every Rust object outside rust/ that kbuild made."""
    for path in sorted(build.rglob(".*.o.cmd")):
        saved = _SAVED.match(path.read_text().split("\n", 1)[0])
        if saved is None or saved[1].startswith("rust/"):
            continue
        words = shlex.split(saved[2].split(" ; ")[0])
        if any(w.startswith("--emit=obj=") for w in words):
            yield saved[1], words


def open_to(words: list[str]) -> str | None:
    """How these flags would let a crate name the bindings, if they do."""
    for before, word in pairwise(["", *words]):
        if "krdma_bindings" in word and (before == "--extern" or word.startswith("--extern=")):
            return f"--extern {word}"
        folder = word[2:] if word.startswith("-L") and len(word) > 2 else ""
        folder = word if before == "-L" else folder
        if "rust/bindings" in folder and not folder.startswith("dependency="):
            return f"-L {folder}"
    return None


def errors(words: list[str], source: Path, build: Path) -> set[tuple[int, str]]:
    """Line and code of each error when `source` is compiled by the command for another file."""
    # The kernel uses unstable options, and says so to the stable compiler in this way.
    variables = {"RUSTC_BOOTSTRAP": "1"}
    variables.update(w.split("=", 1) for w in words[: _program(words)])
    args = ["rustc"]
    skip = False
    for word in words[_program(words) + 1 :]:
        if skip or word.startswith(_OUTPUTS) or word.endswith(".rs"):
            skip = word in ("--out-dir", "-o")
        else:
            args.append(word)
    output = build / "compile-fail.rmeta"
    args += ["--crate-name", "sample", "--error-format=json", f"--emit=metadata={output}"]
    done = start([*args, source], cwd=build, env={**os.environ, **variables})
    output.unlink(missing_ok=True)
    found = set()
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("level") == "error" and message.get("spans"):
            primary = next(s for s in message["spans"] if s["is_primary"])
            code = (message.get("code") or {}).get("code", message["message"])
            found.add((primary["line_start"], code))
    if done.returncode != 0 and not found:
        raise Failed(f"rustc did not run on {source.name}", done.stdout.splitlines())
    return found


def _program(words: list[str]) -> int:
    """Index of the compiler: the assignments of variables stand before it."""
    return next(i for i, w in enumerate(words) if not re.match(r"\w+=", w))


def announced(text: str) -> set[tuple[int, str]]:
    return {
        (number, mark[1])
        for number, line in enumerate(text.splitlines(), 1)
        for mark in _MARK.finditer(line)
    }


def run(tree: Tree) -> list[str]:
    names = tree.files(".rs", under=[_FOLDER])
    if not names:
        raise Skipped(f"no {_FOLDER}")
    make(tree, "compile-fail", _VARIANT)
    build = tree.build(_VARIANT)
    made = list(commands(build))
    found = [
        f"{name}: compiled with `{how}`: it can name the C bindings"
        for name, words in made
        if (how := open_to(words))
    ]
    clients = [
        words
        for _, words in made
        if all(any(w.startswith(crate) for w in words) for crate in ("krdma=", "rrds="))
    ]
    if not clients:
        raise Failed(f"no client of rrds was compiled in {build.relative_to(tree.root)}")
    for name in names:
        got = errors(clients[0], tree.path(name), build)
        expected = announced(tree.text(name))
        found += [f"{name}:{n}: no {code} here; it compiles" for n, code in sorted(expected - got)]
        found += [f"{name}:{n}: unexpected {code}" for n, code in sorted(got - expected)]
    return found


CHECK = Check("compile-fail", "what a client must not be able to write does not compile", run)
