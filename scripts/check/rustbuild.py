# SPDX-License-Identifier: GPL-2.0
"""What the Rust tools say: rustfmt, and clippy on the kernel's and the host's crates."""

from __future__ import annotations

import os

from check.core import Check, Failed, Skipped, Tree, environment, kernel_tree, must_succeed, start

# The workspace for user space; its own Cargo.toml says which edition its crates are.
_HOST = "tools"


def rustfmt(tree: Tree) -> list[str]:
    names = [n for n in tree.files(".rs") if not n.startswith(_HOST + "/")]
    if not names:
        raise Skipped("no Rust file")
    config = kernel_tree() / ".rustfmt.toml"
    runs = [["rustfmt", "--check", "--edition", "2021", "--config-path", config, *names]]
    if tree.path(f"{_HOST}/Cargo.toml").is_file():
        manifest = tree.path(f"{_HOST}/Cargo.toml")
        runs.append(
            ["cargo", "fmt", "--manifest-path", manifest, "--all", "--check"]
            + ["--", "--config-path", config]
        )
    found: list[str] = []
    for args in runs:
        done = start(args, cwd=tree.root)
        if done.returncode != 0:
            found += done.stdout.splitlines()
    if found:
        raise Failed("not formatted as the kernel's .rustfmt.toml has it", found)
    return []


def make(tree: Tree, name: str, variant: str, *more: str) -> str:
    """Build the modules in the folder of this variant; what make said."""
    args = ["make", "-C", kernel_tree(), f"-j{os.cpu_count() or 1}", f"M={tree.root}"]
    args += [f"MO={tree.build(variant)}", *more, "modules"]
    return must_succeed(tree, name, args).stdout


def clippy_kernel(tree: Tree) -> list[str]:
    if not tree.path("Kbuild").is_file():
        raise Skipped("no Kbuild")
    make(tree, "clippy-kernel", "clippy", "CLIPPY=1", "W=e")
    return []


def cargo_environment(tree: Tree) -> dict[str, str]:
    """cargo writes below build/ and keeps the crates it downloads in the cache."""
    env = {"CARGO_TARGET_DIR": str(tree.build("tools")), "CARGO_TERM_COLOR": "never", **os.environ}
    if "CARGO_HOME" not in env:
        env["CARGO_HOME"] = environment("KRDMA_CACHE") + "/cargo"
    return env


def clippy_host(tree: Tree) -> list[str]:
    if not tree.path(f"{_HOST}/Cargo.toml").is_file():
        raise Skipped("no tools/Cargo.toml")
    must_succeed(
        tree,
        "clippy-host",
        ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
        cwd=tree.path(_HOST),
        env=cargo_environment(tree),
    )
    return []


RUSTFMT = Check("rustfmt", "every Rust file formatted as the kernel's", rustfmt)
CLIPPY_KERNEL = Check("clippy-kernel", "clippy on the modules, warnings as errors", clippy_kernel)
CLIPPY_HOST = Check("clippy-host", "clippy on the host's crates, warnings as errors", clippy_host)
