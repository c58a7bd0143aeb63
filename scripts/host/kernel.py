# SPDX-License-Identifier: GPL-2.0
"""The stock kernel of the series: which one, its packages, its files, its prepared source."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from host import cache, sandbox
from host.apt import Apt
from host.config import Config
from host.errors import Failure
from host.progress import Step
from host.runner import Runner

# Raised when the recipe of the kernel's or the source's folder changes.
RECIPE = 1
_IMAGE = re.compile(r"linux-image-((\d+\.\d+)(?:\.\d+)*(?:\+[a-z0-9.]+)?(?:-\d+)?-amd64)$")


@dataclass(frozen=True)
class Pin:
    """The kernel that this cache uses: found once, kept until asked to look again."""

    series: str
    release: str
    packages: tuple[str, ...]
    source: str
    headers: str
    bytes: int

    @property
    def wanted(self) -> list[str]:
        """NAME=VERSION of everything to download."""
        return [*self.packages, self.source, self.headers]


def pin_path(config: Config) -> Path:
    return config.cache / f"pin-{config.suite}-{config.series}.json"


def load_pin(config: Config) -> Pin | None:
    """The pinned kernel of an earlier run."""
    saved = cache.read_json(pin_path(config))
    try:
        return Pin(**{**saved, "packages": tuple(saved["packages"])})
    except (TypeError, KeyError):
        return None


def save_pin(config: Config, pin: Pin) -> None:
    cache.write_json(pin_path(config), asdict(pin))


def numbers(release: str) -> tuple[int, ...]:
    """A release as what it sorts by."""
    return tuple(int(part) for part in re.findall(r"\d+", release))


def choose(names: list[str], series: str) -> str:
    """The newest release of the series among linux-image packages."""
    images = [match for name in names if (match := _IMAGE.match(name))]
    found = sorted((m[1] for m in images if m[2] == series), key=numbers)
    if found:
        return found[-1]
    there = sorted({m[2] for m in images}, key=numbers)
    raise Failure(
        f"the mirror has no kernel of the series {series}",
        f"it has {', '.join(there) or 'none at all'}",
        "Choose one by KRDMA_SERIES (7.3 or newer has what the modules need), or set KRDMA_MIRROR.",
    )


def find(config: Config, step: Step, apt: Apt) -> Pin:
    """The newest kernel of the series in the index, with the packages that hold it."""
    release = choose(apt.search(step, r"^linux-image-[0-9].*-amd64$"), config.series)
    source_name, headers_name = f"linux-source-{config.series}", f"linux-headers-{release}"
    # Since 7.x the image is split; older ones are one package.
    names = [f"linux-{part}-{release}" for part in ("image", "base", "binary", "modules")]
    shown = apt.show(step, [headers_name, source_name, *names])
    first: dict[str, dict[str, str]] = {}
    for stanza in shown:
        first.setdefault(stanza["Package"], stanza)
    version = first.get(headers_name, {}).get("Version", "")
    sources = [s for s in shown if s["Package"] == source_name and s["Version"] == version]
    if not sources:
        missing = f"{source_name} {version}" if version else headers_name
        raise Failure(
            f"the mirror lacks a part of {release}",
            f"no {missing}",
            "It may be half way through an update: try again later, or set KRDMA_MIRROR.",
        )
    parts = [first[name] for name in names if name in first]
    source, headers = sources[0], first[headers_name]
    everything = [*parts, source, headers]
    return Pin(
        series=config.series,
        release=release,
        packages=tuple(f"{part['Package']}={part['Version']}" for part in parts),
        source=f"{source_name}={version}",
        headers=f"{headers_name}={version}",
        bytes=sum(int(stanza.get("Size", "0")) for stanza in everything),
    )


def kernel_path(config: Config, pin: Pin) -> Path:
    """The unpacked stock kernel: vmlinuz and lib/modules/RELEASE."""
    return config.cache / f"kernel-{pin.release}-{cache.key(RECIPE, pin.packages, pin.headers)}"


def source_path(config: Config, pin: Pin, root: Path) -> Path:
    """The prepared source tree; the root's compilers are part of what it is made of."""
    name = cache.key(RECIPE, pin.source, pin.headers, root.name)
    return config.cache / f"source-{pin.release}-{name}"


def download_dir(config: Config, pin: Pin) -> Path:
    return config.cache / "download" / pin.release


def deb(config: Config, pin: Pin, wanted: str) -> Path:
    """The downloaded file of NAME=VERSION."""
    name, _, version = wanted.partition("=")
    found = sorted(download_dir(config, pin).glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))
    if not found:
        raise Failure(f"{wanted} was not downloaded", f"not in {download_dir(config, pin)}")
    return found[0]


def unpack_stock(config: Config, pin: Pin, step: Step, runner: Runner) -> Path:
    """Unpack the stock kernel and its headers under tmp/; finish_stock publishes it."""
    work = config.cache / "tmp" / kernel_path(config, pin).name
    debs = [str(deb(config, pin, name)) for name in (*pin.packages, pin.headers)]
    # /lib is a link to usr/lib in a Debian of today, but older packages have files in both.
    script = """
        set -eu
        work=$1; release=$2; shift 2
        mkdir -p "$work/all" "$work/lib/modules"
        for deb; do dpkg-deb -x "$deb" "$work/all"; done
        cd "$work"
        for folder in all/usr/lib/modules all/lib/modules; do
            if [ -d "$folder/$release" ]; then cp -al "$folder/$release" lib/modules/; fi
        done
        for image in lib/modules/"$release"/vmlinuz all/boot/vmlinuz-"$release"; do
            if [ -f "$image" ]; then cp "$image" vmlinuz; fi
        done
        headers=all/usr/src/linux-headers-$release
        cp "$headers/.config" config
        cp "$headers/Module.symvers" Module.symvers
        if [ -f "$headers/.kernelvariables" ]; then
            cp "$headers/.kernelvariables" kernelvariables
        else
            : >kernelvariables
        fi
        rm -rf all lib/modules/"$release"/build lib/modules/"$release"/source
        test -f vmlinuz && test -d lib/modules/"$release"/kernel
        chmod -R u+rwX,go+rX .
    """
    runner.run(step, ["sh", "-c", script, "sh", str(work), pin.release, *debs])
    text = (work / "config").read_text()
    if "\nCONFIG_RUST=y\n" not in text:
        raise Failure(
            f"the stock kernel {pin.release} has no Rust",
            "CONFIG_RUST is off in its configuration",
            "Choose a series that has it by KRDMA_SERIES (7.3 or newer).",
        )
    return work


def finish_stock(config: Config, pin: Pin, step: Step, runner: Runner, root: Path) -> None:
    """depmod, with the root's tools, and publish."""
    final = kernel_path(config, pin)
    work = config.cache / "tmp" / final.name
    sandbox.run(config, root, step, runner, ["depmod", "-b", str(work), pin.release])
    cache.publish(work, final)


def unpack_source(config: Config, pin: Pin, step: Step, runner: Runner) -> Path:
    """Unpack the kernel's source under tmp/."""
    work = config.cache / "tmp" / "source"
    name = f"linux-source-{pin.series}"
    script = """
        set -eu
        mkdir -p "$1"
        cd "$1"
        dpkg-deb --fsys-tarfile "$2" | tar -xf - -O "./usr/src/$3.tar.xz" | xz -dc -T0 |
            tar -xf - --strip-components=1 --no-same-owner
        test -f Makefile && test -d rust
    """
    archive = str(deb(config, pin, pin.source))
    runner.run(step, ["sh", "-c", script, "sh", str(work), archive, name])
    return work


def configure(work: Path, stock: Path) -> None:
    """Give the source the stock kernel's configuration, symbols and make variables."""
    (work / ".config").write_bytes((stock / "config").read_bytes())
    (work / "Module.symvers").write_bytes((stock / "Module.symvers").read_bytes())
    lines = (stock / "kernelvariables").read_text().splitlines()
    kept = [line for line in lines if "KBUILD_OUTPUT" not in line]
    (work / ".kernelvariables").write_text("\n".join(kept) + "\n")


def prepare(config: Config, pin: Pin, step: Step, runner: Runner, root: Path) -> None:
    """Build what modules are built against: the Rust crates' metadata, headers, build tools."""
    work = config.cache / "tmp" / "source"
    wanted = setting_lines(work / ".config")
    jobs = f"-j{os.cpu_count() or 1}"
    make = ["make", "-C", str(work), jobs]
    sandbox.run(config, root, step, runner, [*make, "olddefconfig"])
    changed = sorted(wanted ^ setting_lines(work / ".config"))
    # The compiler's description is the one thing that may differ.
    changed = [line for line in changed if not re.match(r"CONFIG_\w+_(TEXT|VERSION)=", line)]
    if changed:
        raise Failure(
            "the kernel's configuration does not survive",
            f"{len(changed)} settings differ from the stock kernel's: {', '.join(changed[:4])}",
            "The build root lacks a tool that the stock kernel was built with; report this.",
        )
    sandbox.run(config, root, step, runner, [*make, "prepare", "modules_prepare"])


def setting_lines(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line.startswith("CONFIG_")}


def rust_symbols(symvers: str) -> set[str]:
    """The Rust symbols, and C helpers for Rust, that Module.symvers lists."""
    names = (line.split("\t")[1] for line in symvers.splitlines() if line.count("\t") >= 3)
    return {name for name in names if name.startswith(("_R", "rust_helper_"))}


def vmlinux_symbols(symvers: str) -> set[str]:
    """As rust_symbols, of vmlinux alone: Rust modules of the kernel export some of their own."""
    lines = [line for line in symvers.splitlines() if line.split("\t")[2:3] == ["vmlinux"]]
    return rust_symbols("\n".join(lines))


def prove(config: Config, pin: Pin, step: Step, root: Path) -> None:
    """Every Rust symbol of the stock kernel has the same name here; then publish the source.

    A Rust symbol's name holds a hash of its crate, compiler included. So equal names mean that
    modules built against this tree find in the stock kernel what they were built for.
    """
    work = config.cache / "tmp" / "source"
    stock = vmlinux_symbols((work / "Module.symvers").read_text())
    here: set[str] = set()
    for file in sorted((work / "rust").glob("exports_*_generated.h")):
        here |= set(re.findall(r"EXPORT_SYMBOL_RUST_GPL\((\w+)\)", file.read_text()))
    lost = sorted(stock - here)
    if lost or not stock:
        raise Failure(
            "the prepared source does not match the stock kernel",
            f"{len(lost)} of its {len(stock)} Rust symbols have other names here"
            + (f", {lost[0]} for one" if lost else ""),
            "The build root's rustc is not the one that built the kernel; report this.",
        )
    step.result = f"{len(stock)} of {len(stock)} symbols equal"
    (work / ".krdma.json").write_text(json.dumps({"release": pin.release, "symbols": len(stock)}))
    cache.publish(work, source_path(config, pin, root))
