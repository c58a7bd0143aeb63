# SPDX-License-Identifier: GPL-2.0
"""What a node boots into: two archives, one after the other.

The base (busybox, the network and RDMA tools with their libraries, the stock modules unpacked)
changes only with the build root and the kernel, so it is made once and cached by the hash of all
that goes in. The archive of one run (our modules without debug information, the guest library, the
test's files) is small, and made anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from .cpio import Archive
from .env import Env, LabError
from .kmods import closure, unpacked

# Present in every node; a test names what else it needs as `stock` in its .toml file.
STOCK = (
    "virtio_net",
    "rdma_rxe",
    "rdma_cm",
    "ib_uverbs",
    "veth",
    "dummy",
    "sch_netem",
)

# Programs of the build root, with the package to name when one is missing.
PROGRAMS = {
    "busybox": "busybox-static",
    "ip": "iproute2",
    "tc": "iproute2",
    "rdma": "iproute2",
    "ss": "iproute2",
    "ibv_devinfo": "ibverbs-utils",
}
SEARCH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
PROVIDERS = ("rxe", "siw")
KEEP_BASES = 4


def find_program(name: str) -> Path:
    for folder in SEARCH:
        path = Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    package = PROGRAMS.get(name, name)
    raise LabError(f"the nodes need {name}, which the build root lacks: its package is {package}")


@cache
def libraries(program: Path) -> tuple[Path, ...]:
    """The shared libraries that a program or library needs; none for a static one."""
    if program.read_bytes()[:4] != b"\x7fELF":
        return ()
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    if "not a dynamic executable" in done.stderr or "statically linked" in done.stdout:
        return ()
    missing = re.findall(r"(\S+) => not found", done.stdout)
    if done.returncode or missing:
        reason = ", ".join(missing) or done.stderr.strip()
        raise LabError(f"{program} lacks libraries: {reason}")
    return tuple(Path(path) for path in re.findall(r"(/\S+) \(0x", done.stdout))


def _provider_files() -> list[Path]:
    """libibverbs loads these by name at run time: ldd does not know of them."""
    found = []
    for name in PROVIDERS:
        found += Path("/etc/libibverbs.d").glob(f"{name}.driver")
        for lib in (
            "/usr/lib/x86_64-linux-gnu/libibverbs",
            "/usr/lib/libibverbs",
            "/usr/lib64/libibverbs",
        ):
            found += Path(lib).glob(f"lib{name}-rdmav*.so")
    return found


def _add_program(archive: Archive, path: Path, target: str) -> None:
    archive.file(target, path.read_bytes(), executable=True)
    for lib in libraries(path):
        archive.file(str(lib), lib.read_bytes(), executable=True)


def _applets(busybox: Path) -> list[str]:
    done = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split() if name != "busybox"]


def _add_stock_modules(archive: Archive, env: Env, names: Iterable[str]) -> None:
    """Modules unpacked, with modules.dep and aliases of just these, so that modprobe finds them
    quickly.
    """
    paths = closure(env.stock_modules, names)
    with tempfile.TemporaryDirectory(prefix="lab-") as scratch:
        root = Path(scratch) / "lib" / "modules" / env.release
        for path in paths:
            data = unpacked((env.stock_modules / path).read_bytes())
            plain = root / re.sub(r"\.ko\.\w+$", ".ko", path)
            plain.parent.mkdir(parents=True, exist_ok=True)
            plain.write_bytes(data)
        for name in ("modules.builtin", "modules.order"):
            (root / name).write_bytes((env.stock_modules / name).read_bytes())
        done = subprocess.run(
            ["depmod", "-b", scratch, env.release], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LabError(f"depmod for the nodes failed: {done.stderr.strip()}")
        for file in sorted(root.rglob("*")):
            if file.is_file() and not file.name.endswith(".bin"):
                archive.file(
                    f"lib/modules/{env.release}/{file.relative_to(root)}", file.read_bytes()
                )


def _base_key(env: Env, modules: list[str]) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes() + env.release.encode())
    inputs = [env.stock_modules / path for path in modules]
    for name in PROGRAMS:
        program = find_program(name)
        inputs += [program, *libraries(program)]
    for file in _provider_files():
        inputs += [file, *libraries(file)]
    for path in inputs:
        digest.update(str(path).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _build_base(env: Env, modules: Iterable[str]) -> bytes:
    archive = Archive()
    for folder in ("proc", "sys", "dev", "run", "tmp", "etc", "lab", "var/log"):
        archive.folder(folder)
    busybox = find_program("busybox")
    archive.file("bin/busybox", busybox.read_bytes(), executable=True)
    for applet in _applets(busybox):
        archive.link(f"bin/{applet}", "/bin/busybox")
    archive.link("sbin", "bin")  # where the kernel itself looks for modprobe
    for name in PROGRAMS:
        if name != "busybox":
            _add_program(archive, find_program(name), f"usr/bin/{name}")
    for file in _provider_files():
        _add_program(archive, file, str(file))
    archive.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    _add_stock_modules(archive, env, modules)
    return archive.pack()


def _store(path: Path, data: bytes) -> None:
    """Whole or not at all, also when two runs make the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as out:
        out.write(data)
    os.replace(out.name, path)


def base(env: Env, stock: Iterable[str] = ()) -> Path:
    """The base archive's path; made if the cache has none with this content."""
    modules = sorted({*STOCK, *stock})
    folder = env.cache / "lab"
    path = folder / f"base-{_base_key(env, closure(env.stock_modules, modules))}.cpio"
    if not path.is_file():
        _store(path, _build_base(env, modules))
        others = sorted(folder.glob("base-*.cpio"), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[KEEP_BASES:]:
            old.unlink(missing_ok=True)
    return path


def without_debug(module: Path) -> bytes:
    """A module's bytes without debug information: 25 kB instead of 1.5 MB for the guest to read."""
    with tempfile.TemporaryDirectory(prefix="lab-") as scratch:
        out = Path(scratch) / module.name
        done = subprocess.run(
            ["strip", "-g", "-o", str(out), str(module)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"strip {module}: {done.stderr.strip()}")
        return out.read_bytes()


def run_archive(files: dict[str, bytes], programs: Iterable[Path] = ()) -> bytes:
    """The second archive: given files (all executable: they are scripts and modules) and programs
    under lab/bin.
    """
    archive = Archive()
    for path, data in files.items():
        archive.file(path, data, executable=True)
    for program in programs:
        _add_program(archive, program, f"lab/bin/{program.name}")
    return archive.pack()
