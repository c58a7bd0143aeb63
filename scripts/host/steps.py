# SPDX-License-Identifier: GPL-2.0
"""Provisioning: which steps are needed, in what order, and which run beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from host import cache, hosttools, kernel, mirror, root
from host.apt import Apt
from host.config import Config
from host.errors import Cancelled, Failure
from host.kernel import Pin
from host.namespace import Namespaces
from host.progress import Display, Step, size_text
from host.runner import Runner

TITLES = (
    "host tools",
    "package index",
    "build root",
    "download kernel",
    "unpack stock kernel",
    "unpack source",
    "prepare source",
    "check Rust symbols",
)
# Disk space that each result takes at its largest while it is made (measured, rounded up).
ROOT_BYTES = 2_300_000_000
KERNEL_BYTES = 450_000_000
SOURCE_BYTES = 2_500_000_000
# With less than this free a failed command most likely failed for want of space.
FULL_BYTES = 64_000_000


@dataclass(frozen=True)
class Provisioned:
    """What a command inside the root needs to know."""

    root: Path
    kernel: Path
    source: Path
    release: str
    # The result of the cache that holds the kernel and the source, if they are not results themselves.
    folder: Path | None = None
    # What `make` for this kernel's modules must find in the environment.
    variables: dict[str, str] = field(default_factory=dict)


def present(config: Config) -> Provisioned | None:
    """The cache's content, if it is whole for this configuration."""
    pin = kernel.load_pin(config)
    if pin is None:
        return None
    place = places(config, pin)
    if all(path.is_dir() for path in (place.root, place.kernel, place.source)):
        return place
    return None


def places(config: Config, pin: Pin) -> Provisioned:
    tree = root.path(config)
    return Provisioned(
        root=tree,
        kernel=kernel.kernel_path(config, pin),
        source=kernel.source_path(config, pin, tree),
        release=pin.release,
    )


class Track(threading.Thread):
    """One of several lines of work; the first failure stops the others."""

    def __init__(self, work: Callable[[], None], failed: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.failed = failed
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the main thread raises it
            self.error = error
            self.failed()


def together(works: list[Callable[[], None]], namespaces: Namespaces) -> None:
    """Run lines of work beside each other; raise the first real failure among them."""
    tracks = [Track(work, namespaces.cancel) for work in works]
    for track in tracks:
        track.start()
    # A join without a limit would keep Ctrl-C waiting.
    try:
        for track in tracks:
            while track.is_alive():
                track.join(0.2)
    except BaseException:
        namespaces.cancel()
        for track in tracks:
            track.join()
        raise
    errors = [track.error for track in tracks if track.error]
    for error in errors:
        if not isinstance(error, Cancelled):
            raise error
    if errors:
        raise errors[0]


class FailedStep(Exception):
    """A failure with the step it happened in."""

    def __init__(self, step: Step, failure: Failure) -> None:
        super().__init__(failure.what)
        self.step = step
        self.failure = failure


class Provisioning:
    """One run of the steps; the caller holds the cache's lock."""

    def __init__(self, config: Config, display: Display, namespaces: Namespaces) -> None:
        self.config = config
        self.display = display
        self.runner = Runner(config.cache / "tmp", namespaces)
        self.namespaces = namespaces
        self.apt = Apt(config.cache / "apt", self.runner, config.suites)
        self.address = ""
        self.pin: Pin | None = None
        self.root_done = threading.Event()

    def step(self, number: int, work: Callable[[Step], None]) -> None:
        """One numbered step; its Failure remembers it."""
        if self.namespaces.cancelled.is_set():
            raise Cancelled
        with self.display.step(number, TITLES[number - 1]) as step:
            try:
                work(step)
            except Failure as failure:
                free = cache.free_bytes(self.config.cache)
                if free < FULL_BYTES and not failure.do:
                    failure.do = (
                        f"The disk of {self.config.cache} is full ({size_text(free)} free):"
                        " make room, or set KRDMA_CACHE to a folder with room."
                    )
                raise FailedStep(step, failure) from failure
            except OSError as error:
                name = f" {error.filename}" if error.filename else ""
                reason = f"{error.strerror or error}{name}"
                raise FailedStep(step, Failure("the machine says", reason)) from error

    def run(self) -> Provisioned:
        """Everything that is missing; what is there already is left alone."""
        self.clear_tmp()
        self.step(1, lambda step: hosttools.check(self.config, step, self.runner))
        self.step(2, self.index)
        assert self.pin
        place = places(self.config, self.pin)
        works = []
        if place.root.is_dir():
            self.root_done.set()
        else:
            works.append(self.make_root)
        if not (place.kernel.is_dir() and place.source.is_dir()):
            works.append(lambda: self.make_kernel(place))
        together(works, self.namespaces)
        kernel.save_pin(self.config, self.pin)
        self.remove([self.config.cache / "download", self.config.cache / "apt"])
        return place

    def clear_tmp(self) -> None:
        """Remove what killed runs left behind, and results nobody used for long."""
        keep: set[Path] = set()
        if pin := kernel.load_pin(self.config):
            place = places(self.config, pin)
            keep = {place.root, place.kernel, place.source}
        old = [*(self.config.cache / "tmp").iterdir(), *cache.unused(self.config.cache, keep)]
        self.remove(old)

    def remove(self, paths: list[Path]) -> None:
        """Delete trees, inside a namespace: in a user's root files belong to that user's sub-ids."""
        if paths:
            quiet = Step(0, "clean up", self.display.log, lambda _: None)
            self.runner.run(quiet, ["rm", "-rf", "--", *map(str, paths)], quiet=True)

    def index(self, step: Step) -> None:
        """Package index, the kernel to use, and whether the disk has room for all of it."""
        addresses = mirror.candidates(self.config.mirror)
        for number, address in enumerate(addresses, 1):
            self.apt.set_up(step, address)
            try:
                self.apt.update(step, address)
            except Failure:
                if number == len(addresses):
                    raise
                continue
            self.address = address
            break
        self.pin = kernel.find(self.config, step, self.apt)
        step.result = f"kernel {self.pin.release}"
        self.check_disk(places(self.config, self.pin))

    def check_disk(self, place: Provisioned) -> None:
        """Fail now rather than half way."""
        assert self.pin
        need = 0
        if not place.root.is_dir():
            need += ROOT_BYTES
        if not place.kernel.is_dir() or not place.source.is_dir():
            need += self.pin.bytes
        if not place.kernel.is_dir():
            need += KERNEL_BYTES
        if not place.source.is_dir():
            need += SOURCE_BYTES
        have = cache.free_bytes(self.config.cache)
        if have < need:
            raise Failure(
                f"too little disk space for the cache {self.config.cache}",
                f"{size_text(need)} needed, {size_text(have)} free",
                f"Free {size_text(need - have)} there, or set KRDMA_CACHE to a folder with room.",
            )

    def make_root(self) -> None:
        self.step(
            3, lambda step: root.build(self.config, step, self.runner, self.apt, self.address)
        )
        self.root_done.set()

    def make_kernel(self, place: Provisioned) -> None:
        """Download and unpack beside the making of the root; what needs the root comes after."""
        assert self.pin
        config, pin, runner = self.config, self.pin, self.runner
        self.step(4, self.download)
        if not place.kernel.is_dir():
            self.step(5, lambda step: self.unpack_stock(step))
        if not place.source.is_dir():
            self.step(6, self.unpack_source)
        while not self.root_done.wait(0.2):
            if self.namespaces.cancelled.is_set():
                raise Cancelled
        quiet = Step(5, TITLES[4], self.display.log, lambda _: None)
        if not place.kernel.is_dir():
            kernel.finish_stock(config, pin, quiet, runner, place.root)
        if not place.source.is_dir():
            kernel.configure(config.cache / "tmp" / "source", place.kernel)
            self.step(7, lambda step: kernel.prepare(config, pin, step, runner, place.root))
            self.step(8, lambda step: kernel.prove(config, pin, step, place.root))

    def download(self, step: Step) -> None:
        assert self.pin
        folder = kernel.download_dir(self.config, self.pin)
        step.measure = lambda: sum(path.stat().st_size for path in folder.glob("*"))
        self.apt.download(step, self.pin.wanted, folder)

    def unpack_stock(self, step: Step) -> None:
        assert self.pin
        kernel.unpack_stock(self.config, self.pin, step, self.runner)

    def unpack_source(self, step: Step) -> None:
        assert self.pin
        kernel.unpack_source(self.config, self.pin, step, self.runner)
