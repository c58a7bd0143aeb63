# SPDX-License-Identifier: GPL-2.0
"""The documentation: Sphinx for what is in Documentation/, rustdoc for the library crates.

A warning is an error in all of them: most are links that lead nowhere. The pages are in build/docs/,
rustdoc's below it in rust/, each crate with the search index that rustdoc made for it.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

from check.core import Check, Failed, Skipped, Tree, must_succeed
from check.rustbuild import cargo_environment, make

OUTPUT = "build/docs"
_LINK = re.compile(r'\b(?:href|src)="([^"]+)"')
_HEADER = re.compile(r'<a href="(?:\.\./)*srctree/[^"]*">(.*?)</a>')
_ELSEWHERE = re.compile(r"[a-z]+:|/")
# The crate that users of the modules program against, from kbuild; the protocol and the sockets' crate
# for programs, from cargo.
CRATES = ("krdma", "rds_proto", "rds")


def pages(tree: Tree) -> None:
    output = tree.path(OUTPUT)
    shutil.rmtree(output, ignore_errors=True)
    must_succeed(
        tree,
        "docs-pages",
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html"]
        + ["-d", tree.build("docs-work"), tree.path("Documentation"), output],
        cwd=tree.root,
    )


def krdma(tree: Tree) -> Path:
    said = make(tree, "docs-krdma", "modules", "KRDMA_DOC=y")
    # Not by W=e, which would compile all modules again with other flags.
    if "warning: " in said:
        raise Failed("rustdoc warns of krdma", said.splitlines())
    return tree.build("modules") / "doc"


def from_cargo(tree: Tree, crate: str) -> Path:
    env = cargo_environment(tree)
    env["RUSTDOCFLAGS"] = "-D warnings"
    must_succeed(
        tree,
        f"docs-{crate}",
        ["cargo", "doc", "--locked", "--no-deps", "--lib", "-p", crate],
        cwd=tree.path("tools"),
        env=env,
    )
    return Path(env["CARGO_TARGET_DIR"]) / "doc"


def run(tree: Tree) -> list[str]:
    if not tree.path("Documentation/conf.py").is_file():
        raise Skipped("no Documentation/conf.py")
    pages(tree)
    for crate in CRATES:
        made = krdma(tree) if crate == "krdma" else from_cargo(tree, crate)
        if not (made / crate / "index.html").is_file():
            raise Failed(f"rustdoc left no page of {crate} in {made}")
        copy = tree.path(OUTPUT) / "rust" / crate
        shutil.copytree(made, copy)
        unlink_headers(copy)
    return dead_links(tree.path(OUTPUT))


def unlink_headers(folder: Path) -> None:
    """The kernel's rustdoc makes `srctree/` a link into its source, which no reader has here."""
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if "srctree/" in text:
            page.write_text(_HEADER.sub(r"\1", text), encoding="utf-8")


def dead_links(folder: Path) -> list[str]:
    """Relative links of the built pages whose target was not built; Sphinx knows only its own."""
    found = []
    for page in sorted(folder.glob("*.html")):
        for link in _LINK.findall(page.read_text(encoding="utf-8")):
            target = unquote(link.split("#")[0].split("?")[0])
            if target and not _ELSEWHERE.match(target) and not (folder / target).exists():
                found.append(f"{OUTPUT}/{page.name}: link to `{target}`, which was not built")
    return found


CHECK = Check("docs", "the documentation builds without a warning, rustdoc included", run)
