# SPDX-License-Identifier: GPL-2.0
"""The Debian packages of the build root: one list, each group with its reason."""

from __future__ import annotations

# The kernel's build, with the compilers the stock kernel was built with: rustc must be the very
# build of it, or the names of the exported Rust symbols differ (rust.py proves that they do not).
KERNEL_BUILD = """
    make gcc gcc-14 libc6-dev binutils flex bison bc kmod pahole perl python3
    libelf-dev libssl-dev cpio rsync xz-utils zstd
    rustc rust-src bindgen clang-19 lld-19 llvm-19
"""

# User-space Rust (tools/, host tests of the protocol crate) and the checks of all Rust code.
RUST_TOOLS = "cargo rustfmt rust-clippy git ca-certificates"

# What the nodes of the tests are made of, and what boots them.
NODES = """
    busybox-static iproute2 rdma-core ibverbs-utils ibverbs-providers perftest
    qemu-system-x86 ipxe-qemu seabios procps
"""

# The node runner's tables, the documentation, and the checks of scripts.
PYTHON_AND_CHECKS = """
    python3-rich python3-pip python3-sphinx python3-sphinx-rtd-theme shellcheck
"""

# Shell conveniences for `make shell`.
SHELL = "less file"

PACKAGES: tuple[str, ...] = tuple(
    sorted({*KERNEL_BUILD.split(), *RUST_TOOLS.split(), *NODES.split(), *SHELL.split()})
    + PYTHON_AND_CHECKS.split()
)

# Never taken from backports: see KERNEL_BUILD. apt keeps backports at a lower priority unless
# asked, so these come from the suite itself; root.py checks the result.
FROM_SUITE = ("rustc", "rust-src", "bindgen", "gcc-14", "clang-19")
