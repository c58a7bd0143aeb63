# SPDX-License-Identifier: GPL-2.0
"""The strict kernel: the stock kernel's source, built by clang with every checker that fits.

One folder of the cache holds it all, named by what it is made of:
    source/      the provisioned source tree once more (hard links), without what was built in it
    build/       the kernel's build; modules are built against it
    kernel/      vmlinuz and lib/modules/RELEASE, as the stock kernel's folder has them
    complete     there when the rest is whole

Unlike the other results it is made in its place: the build takes an hour on two processors, and after an
interruption `make` goes on from where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from host import cache, kernel, sandbox
from host.config import Config
from host.errors import Failure
from host.kernel import Pin
from host.progress import Display, Step, size_text
from host.runner import Runner
from host.steps import FailedStep, Provisioned

# Raised when the recipe changes in a way that the configuration does not show.
RECIPE = 1
TITLES = ("copy source", "configure", "build strict kernel", "install")
# The version that rustc's LLVM has, which KASAN in Rust needs: packages.py.
VARIABLES = {"ARCH": "x86", "LLVM": "-19"}
# Disk space of the build, and how many lines make prints of it: both about.
BYTES = 1_000_000_000
FILES = 2050
_STAMP = "complete"


def fragment(config: Config) -> Path:
    return config.checkout / "scripts" / "strict.config"


def path(config: Config, pin: Pin, root: Path) -> Path:
    """Where this run's strict kernel is, or will be."""
    wanted = settings(fragment(config).read_text())
    key = cache.key(RECIPE, pin.source, root.name, wanted, VARIABLES)
    return config.cache / f"strict-{pin.release}-{key}"


def present(config: Config, stock: Provisioned) -> Provisioned | None:
    """The strict kernel, if it is whole."""
    pin = kernel.load_pin(config)
    if pin is None:
        return None
    folder = path(config, pin, stock.root)
    release = cache.read_json(folder / _STAMP)
    if not isinstance(release, str):
        return None
    return Provisioned(
        root=stock.root,
        kernel=folder / "kernel",
        source=folder / "build",
        release=release,
        folder=folder,
        variables=VARIABLES,
    )


class Building:
    """One run of the steps; the caller holds the strict kernel's lock, and the stock one is there."""

    def __init__(
        self, config: Config, display: Display, runner: Runner, stock: Provisioned
    ) -> None:
        pin = kernel.load_pin(config)
        assert pin
        self.config = config
        self.display = display
        self.runner = runner
        self.stock = stock
        self.folder = path(config, pin, stock.root)
        self.source = self.folder / "source"
        self.build = self.folder / "build"

    def run(self) -> None:
        """Make what is missing; the stamp comes last."""
        if not self.folder.is_dir():
            self.check_disk()
        works = (self.copy, self.configure, self.compile, self.install)
        for number, (title, work) in enumerate(zip(TITLES, works, strict=True), 1):
            self.step(number, title, work)

    def step(self, number: int, title: str, work: Callable[[Step], None]) -> None:
        with self.display.step(number, title) as step:
            try:
                work(step)
            except Failure as failure:
                raise FailedStep(step, failure) from failure

    def check_disk(self) -> None:
        have = cache.free_bytes(self.config.cache)
        if have < BYTES:
            raise Failure(
                f"too little disk space for the strict kernel in {self.config.cache}",
                f"{size_text(BYTES)} needed, {size_text(have)} free",
                f"Free {size_text(BYTES - have)} there.",
            )

    def inside(self, step: Step, argv: list[str]) -> list[str]:
        """Run a command in the build root."""
        return sandbox.run(self.config, self.stock.root, step, self.runner, argv)

    def make(self, step: Step, *words: str) -> list[str]:
        settings = [f"{name}={value}" for name, value in VARIABLES.items()]
        where = ["-C", str(self.source), f"O={self.build}"]
        return self.inside(step, ["make", *where, *settings, *words])

    def copy(self, step: Step) -> None:
        """The source tree without anything built in it, which a build elsewhere insists on."""
        if self.source.is_dir():
            step.result = "there already"
            return
        script = """
            set -eu
            rm -rf "$2.new"
            mkdir -p "${2%/*}"
            cp -al "$1" "$2.new"
            # The stock kernel's compiler, which would win over the one named to make.
            rm -f "$2.new/.kernelvariables"
            make -C "$2.new" ARCH=x86 mrproper
            mv "$2.new" "$2"
        """
        argv = ["sh", "-c", script, "sh", str(self.stock.source), str(self.source)]
        self.inside(step, argv)

    def configure(self, step: Step) -> None:
        """Only what strict.config asks for, and all of that."""
        wanted = fragment(self.config)
        self.inside(step, ["mkdir", "-p", str(self.build)])
        self.make(step, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig")
        lost = differences(wanted.read_text(), (self.build / ".config").read_text())
        if lost:
            for line in lost:
                step.line(line)
            raise Failure(
                "the strict kernel's configuration does not come out as written",
                f"{len(lost)} options differ: {', '.join(lost[:6])}",
                f"An option may need another, or may be gone: see {wanted}.",
            )
        step.result = f"{len(settings(wanted.read_text()))} options as wanted"

    def compile(self, step: Step) -> None:
        step.expected = FILES
        step.lines = sum(
            name.endswith((".o", ".rmeta"))
            for _, _, names in os.walk(self.build, onerror=lambda _: None)
            for name in names
        )
        jobs = f"-j{os.cpu_count() or 1}"
        self.make(step, jobs, "all")

    def install(self, step: Step) -> None:
        """Publish it in the form that the stock kernel has."""
        release = self.make(step, "-s", "kernelrelease")[-1]
        work = self.folder / "kernel.new"
        self.inside(step, ["rm", "-rf", str(work)])
        self.make(step, f"INSTALL_MOD_PATH={work}", "modules_install")
        script = """
            set -eu
            cp "$1/arch/x86/boot/bzImage" "$2/vmlinuz"
            rm -f "$2/lib/modules/$3/build" "$2/lib/modules/$3/source"
            test -f "$2/lib/modules/$3/modules.dep"
            rm -rf "$4"
        """
        final = self.folder / "kernel"
        self.inside(
            step, ["sh", "-c", script, "sh", str(self.build), str(work), release, str(final)]
        )
        cache.publish(work, final)
        cache.write_json(self.folder / _STAMP, release)
        step.result = release


def settings(text: str) -> dict[str, str]:
    """The options a configuration names: y, m, a value, or n for `is not set`."""
    found = {}
    for line in text.splitlines():
        if line.startswith("CONFIG_"):
            name, _, value = line.partition("=")
            found[name] = value
        elif line.startswith("# CONFIG_") and line.endswith(" is not set"):
            found[line.split()[1]] = "n"
    return found


def differences(wanted: str, got: str) -> list[str]:
    """The options that are not as wanted; one that does not exist is off."""
    have = settings(got)
    return [
        f"{name} is {have.get(name, 'n')}, not {value}"
        for name, value in settings(wanted).items()
        if have.get(name, "n") != value
    ]
