# SPDX-License-Identifier: GPL-2.0
"""The commands of scripts/krdma: see USAGE."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from host import cache, config, enter, kernel, killtest, namespace, progress, steps, strict
from host.config import Config
from host.errors import Cancelled, CommandFailed, Failure
from host.runner import Runner
from host.steps import FailedStep, Provisioned

USAGE = """\
usage: scripts/krdma COMMAND

  demo            two nodes with rrds, a third with C RDS, what they exchange
  bench           measure rrds beside the C implementation (BENCH_ROUNDS=N)
  test            all tests
  soak            the long tests, with full counts
  modules         build the modules into build/modules
  sim             simulate a billion steps of the protocol
  fuzz            ten minutes of fuzzing for each parser of the protocol (FUZZ_SECONDS=N)
  mutants         bugs made in the protocol on purpose, all of which have to be noticed
  coverage        how much of the protocol engine its own tests reach
  figures         draw what the link simulator measures, for the documentation
  docs            build the documentation into build/docs
  provision       fill the cache, and no more (--update: look for a newer kernel)
  enter [CMD...]  run a command (or a shell) in the build root
  killtest        kill -9 a provisioning of its own at five points, then finish it
  status          what the cache holds
  distclean       remove the cache and build/

settings (environment): KRDMA_CACHE KRDMA_MIRROR KRDMA_SERIES KRDMA_SUITE V=1
KRDMA_FLAVOR=strict: the same commands with the strict kernel, which is built once (an hour)
"""

ENGINE = ("sim", "fuzz", "mutants", "coverage", "figures")

# What the commands run inside the root, where PYTHONPATH is scripts/.
INSIDE = {
    "demo": ["python3", "-m", "lab", "demo"],
    "bench": ["python3", "-m", "lab", "bench"],
    "test": ["python3", "-m", "lab", "test"],
    "soak": ["python3", "-m", "lab", "soak"],
    "modules": ["make", "modules"],
    "docs": ["python3", "-m", "check", "docs"],
    **{name: ["python3", "-m", "lab", "engine", name] for name in ENGINE},
}
INTERRUPTED = 130


class Stopped(BaseException):
    """SIGTERM or SIGHUP arrived, to be treated as Ctrl-C is."""


def on_signal(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


def say(text: str) -> None:
    print(f"krdma: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(settings: Config, who: str, name: str = "lock") -> Iterator[bool]:
    """Hold the cache, or with another name a part of it; yields whether there was a wait."""
    lock = cache.Lock(settings.cache / name)

    def waiting(holder: str) -> None:
        say(f"waiting for {holder or 'another run'}, which is filling {settings.cache}")

    waited = lock.take(who, waiting, lambda: False)
    try:
        yield waited
    finally:
        lock.release()


def provision(settings: Config, who: str, update: bool = False) -> tuple[Provisioned, float]:
    """Fill what the cache lacks; the result and the seconds it took (0 for nothing to do)."""
    begun = time.monotonic()
    cache.make(settings.cache)
    if not update and (place := present(settings)):
        return place, 0.0
    with locked(settings, who):
        # Another run may have done it while this one waited.
        place = None if update else steps.present(settings)
        if not place:
            with working(settings, "provision", steps.TITLES) as (display, namespaces):
                work = steps.Provisioning(settings, display, namespaces)
                try:
                    place = work.run()
                except FailedStep:
                    namespaces.cancelled.clear()
                    work.clear_tmp()
                    raise
    if settings.flavor == "strict":
        place = provision_strict(settings, who, place)
    return place, time.monotonic() - begun


def provision_strict(settings: Config, who: str, stock: Provisioned) -> Provisioned:
    """Build the strict kernel, if that is still to do. Runs without it need not wait meanwhile."""
    with enter.using(settings, stock), locked(settings, who, "lock-strict"):
        if not present(settings):
            say("building the strict kernel; this is done once and takes long")
            with working(settings, "strict", strict.TITLES) as (display, namespaces):
                runner = Runner(settings.cache / "tmp", namespaces)
                strict.Building(settings, display, runner, stock).run()
    place = present(settings)
    assert place
    return place


def present(settings: Config) -> Provisioned | None:
    """What the chosen kernel's commands need, if all of it is there."""
    place = steps.present(settings)
    if place and settings.flavor == "strict":
        return strict.present(settings, place)
    return place


@contextlib.contextmanager
def working(
    settings: Config, name: str, titles: tuple[str, ...]
) -> Iterator[tuple[progress.Display, namespace.Namespaces]]:
    """A log, a display of the steps and a report of the one that fails."""
    log = progress.Log(settings.log_dir, name)
    namespaces = namespace.Namespaces()
    display = progress.Display(log, len(titles), verbose=settings.verbose)
    try:
        with display.shown():
            yield display, namespaces
    except FailedStep as error:
        report(error, log)
        raise SystemExit(1) from None
    except (KeyboardInterrupt, Stopped, Cancelled):
        namespaces.cancel()
        say("stopped; the next run continues with what is finished")
        raise
    finally:
        log.close()


def report(error: FailedStep, log: progress.Log) -> None:
    """The step, the reason, the last lines, the log's path."""
    failure = error.failure
    lines = [f"krdma: step {error.step.number} ({error.step.title}) failed: {failure.text()}"]
    tail = error.failure.tail if isinstance(failure, CommandFailed) else []
    tail = [text for line in tail if (text := progress.clean(line))]
    if tail:
        lines += [f"last {len(tail)} lines:", *(f"  | {line}" for line in tail)]
    lines.append(f"log: {log.path}")
    for line in lines:
        log.write(line)
        print(line, file=sys.stderr, flush=True)


def inside(settings: Config, who: str, argv: list[str]) -> int:
    """Provision, then run a command in the root; who is in it already just runs it."""
    if os.environ.get("KRDMA_INSIDE") == "1":
        os.execvp(argv[0], argv)
    place, seconds = provision(settings, who)
    return enter.enter(settings, place, argv, seconds)


def command_provision(settings: Config, args: list[str]) -> int:
    update = args == ["--update"]
    if args and not update:
        raise Failure("provision", f"unknown option {args[0]}", "It knows --update.")
    place, seconds = provision(settings, "provision", update)
    if seconds:
        size = cache.tree_bytes(settings.cache)
        say(f"provisioned in {progress.time_text(seconds)}, {progress.size_text(size)} on disk")
    say(f"kernel {place.release}, cache {settings.cache}")
    return 0


def command_enter(settings: Config, args: list[str]) -> int:
    if args[:1] == ["--"]:
        args = args[1:]
    return inside(settings, "enter", args or ["bash"])


def command_status(settings: Config, args: list[str]) -> int:
    """What there is, and what it takes."""
    print(f"cache    {settings.cache}")
    print(f"wanted   kernel series {settings.series}, suite {settings.suite}")
    pin = kernel.load_pin(settings)
    print(f"kernel   {pin.release if pin else 'not chosen yet'}")
    print(f"flavor   {settings.flavor}")
    print(f"state    {'complete' if present(settings) else 'to be provisioned'}")
    if not settings.cache.is_dir():
        return 0
    for path in sorted(settings.cache.iterdir()):
        if path.is_dir():
            print(f"{progress.size_text(cache.tree_bytes(path)):>9}  {path.name}")
    print(f"{progress.size_text(cache.free_bytes(settings.cache)):>9}  free on that disk")
    return 0


def command_distclean(settings: Config, args: list[str]) -> int:
    """Remove the cache, from inside a namespace: a user's root belongs to sub-ids."""
    targets = [settings.checkout / "build"]
    if settings.cache.is_dir():
        if not (settings.cache / "lock").exists() and any(settings.cache.iterdir()):
            raise Failure(
                f"{settings.cache} is not a cache of krdma",
                "it holds other things",
                "Nothing was removed.",
            )
        targets.append(settings.cache)
    with contextlib.ExitStack() as stack:
        if settings.cache.is_dir():
            cache.make(settings.cache)
            stack.enter_context(locked(settings, "distclean"))
            users = cache.Lock(settings.cache / "users")
            if not users.try_take():
                raise Failure(
                    "the cache is in use",
                    "a command is running in its build root",
                    "End it first.",
                )
            stack.callback(users.release)
        enter.remove([path for path in targets if path.exists()])
    for path in targets:
        say(f"removed {path}")
    return 0


COMMANDS: dict[str, Callable[[Config, list[str]], int]] = {
    "provision": command_provision,
    "enter": command_enter,
    "killtest": lambda settings, args: killtest.main(settings),
    "status": command_status,
    "distclean": command_distclean,
}


def run(args: list[str]) -> int:
    name, rest = (args[0], args[1:]) if args else ("help", [])
    if name in ("help", "-h", "--help"):
        print(USAGE, end="")
        return 0
    settings = config.load()
    if name in COMMANDS:
        return COMMANDS[name](settings, rest)
    if name in INSIDE:
        return inside(settings, name, [*INSIDE[name], *rest])
    print(USAGE, end="", file=sys.stderr)
    say(f"no command {name!r}")
    return 2


def main(args: list[str]) -> int:
    """The exit status: the inner command's, 1 for a failure, 128 + n for a signal."""
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)
    try:
        return run(args)
    except Failure as failure:
        say(failure.text())
        return 1
    except (KeyboardInterrupt, Cancelled):
        return INTERRUPTED
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    except BrokenPipeError:
        os.close(sys.stdout.fileno())
        return 1
