# SPDX-License-Identifier: GPL-2.0
"""Runs one test: lays the wires, boots its nodes, lets them talk, always ends, and judges."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import initramfs, kernel, klog, ktap, programs, qemu, strict, wires
from .env import Env, LabError
from .exchange import Exchange
from .ktap import Outcome, Result
from .node import Logs, Node, guest_environment
from .topology import NodeSpec, Test

SWITCH_OFF_SECONDS = 120.0
EXCERPT_LINES = 25
DUMP_LINES = 80


@dataclass
class Report:
    """What came of a test."""

    test: Test
    result: Result
    seconds: float = 0.0
    boot_seconds: dict[str, float] = field(default_factory=dict)
    consoles: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.result.outcome is not Outcome.FAILED


def module_path(env: Env, name: str) -> Path:
    """A module of the usual build, or of a test's own: `other/rrds` is build/other/rrds.ko."""
    folder, _, stem = name.rpartition("/")
    path = (env.variant(folder) if folder else env.modules) / f"{stem}.ko"
    if not path.is_file():
        raise LabError(f"{path} is not there: `make modules` builds it")
    return path


def with_modules(env: Env, test: Test) -> Test:
    """The test with `*` replaced by every module there is, in the order they can be loaded in."""
    if "*" not in test.modules:
        return test
    order = env.modules / "modules.order"
    if not order.is_file():
        raise LabError(f"{order} is not there: `make modules` makes it")
    names = tuple(Path(line).stem for line in order.read_text().split())
    return replace(test, modules=names)


async def build_variants(env: Env, builds: dict[str, str]) -> None:
    """Builds of the modules that only this test wants, each in its own folder below build/."""
    for folder, settings in builds.items():
        command = ["make", "modules", f"MO={env.variant(folder)}", *settings.split()]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=env.checkout,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            last = " / ".join(output.decode(errors="replace").strip().split("\n")[-5:])
            raise LabError(f"{' '.join(command)} failed: {last}")


def stock_needs(env: Env, modules: Iterable[str]) -> dict[str, list[str]]:
    """What each of our modules names in its `depends`."""
    needs = {}
    for name in modules:
        if "/" in name:
            continue
        command = ["modinfo", "-F", "depends", str(module_path(env, name))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"modinfo {name}: {done.stderr.strip()}")
        needs[name] = [word for word in done.stdout.strip().split(",") if word]
    return needs


def guest_files(
    env: Env, test: Test, node: NodeSpec, needs: dict[str, list[str]]
) -> dict[str, bytes]:
    """The archive of this run: library, script, environment, our modules."""
    library = env.tests / "lib"
    files = {
        f"lab/lib/{path.name}": path.read_bytes()
        for path in sorted(library.iterdir())
        if path.is_file()
    }
    files["init"] = files.pop("lab/lib/init")
    files["lab/test.sh"] = node.script.read_bytes()
    files["lab/env"] = guest_environment(test, node, needs).encode()
    for name in test.modules:
        files[f"lab/modules/{name}.ko"] = initramfs.without_debug(module_path(env, name))
    return files


def _tail(text: str, lines: int = EXCERPT_LINES) -> list[str]:
    return [line for line in klog.clean(text) if line.strip()][-lines:]


class Run:
    """One execution of one test. `problems` are what no result line of a script says."""

    def __init__(self, env: Env, test: Test) -> None:
        self.env, self.test = env, strict.adapted(env, with_modules(env, test))
        self.folder = env.logs / test.name
        self.nodes: dict[str, Node] = {}
        self.problems: dict[str, list[str]] = {node.name: [] for node in test.nodes}
        self.exchange = Exchange([node.name for node in test.nodes], self._send)
        self.started = asyncio.Event()
        self._hubs: list[asyncio.subprocess.Process] = []
        self._limit: asyncio.Timeout | None = None

    def _send(self, node: str, text: str) -> None:
        if node in self.nodes:
            self.nodes[node].send(text)

    def _line(self, node: str, text: str) -> None:
        self.exchange.line(node, text)
        if self._limit is not None and len(self.exchange.status) == len(self.test.nodes):
            # All that is left to do is switch off.
            soon = asyncio.get_running_loop().time() + SWITCH_OFF_SECONDS
            self._limit.reschedule(min(soon, self._limit.when() or soon))

    def _again(self, node: str) -> str | None:
        words = self.exchange.booted_again(node)
        if words is None:
            self.problems[node].append("the node booted again, and nobody had asked for that")
        return words

    def _left(self) -> float:
        """Seconds until the test is ended."""
        end = self._limit.when() if self._limit is not None else None
        return 0.0 if end is None else end - asyncio.get_running_loop().time()

    async def execute(self) -> Report:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.test.timeout) as self._limit:
                await self._boot_and_wait()
        except TimeoutError:
            for name, node in self.nodes.items():
                if not node.over.is_set():
                    hung = f"was still running when the {self.test.timeout:g} s were over"
                    problem = "did not switch off" if name in self.exchange.status else hung
                    self.problems[name].append(f"the node {problem}")
        finally:
            self.started.set()
            await self._stop()
        report = self._judge()
        report.seconds = time.monotonic() - began
        return report

    async def _boot_and_wait(self) -> None:
        image = kernel.bootable(self.env)
        needs = stock_needs(self.env, self.test.modules)
        stock = {*self.test.stock, *(name for names in needs.values() for name in names)}
        base = initramfs.base(self.env, stock - needs.keys()).read_bytes()
        carried = [initramfs.find_program(tool) for tool in self.test.tools]
        carried += [programs.path(self.env, name) for name in self.test.programs]
        with tempfile.TemporaryDirectory(prefix="lab-") as scratch:
            laid = wires.lay(self.test.links)
            try:
                for index, ends in laid.hubs.items():
                    fds = [end.fileno() for end in ends]
                    line = qemu.hub_command(f"hub{index}", fds)
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._hubs.append(
                        await qemu.launch(line, self.folder / f"hub{index}.qemu", fds)
                    )
                for spec in self.test.nodes:
                    initrd = Path(scratch) / f"{spec.name}.cpio"
                    files = guest_files(self.env, self.test, spec, needs)
                    initrd.write_bytes(base + initramfs.run_archive(files, carried))
                    logs = Logs.fresh(self.folder, spec.name)
                    node = Node(spec, logs, self._line, self._left, self._again)
                    self.nodes[spec.name] = node
                    ends = laid.of(spec.name, (nic.link.index for nic in spec.nics))
                    await node.start(self.env, image, initrd, ends)
            finally:
                laid.close()
            self.started.set()
            await self._all_over()

    async def booted(self) -> None:
        """Returns when every node runs its init, or is gone. For those who show progress."""
        await self.started.wait()
        for node in self.nodes.values():
            await node.booted.wait()

    async def _all_over(self) -> None:
        """Until every node is off; one that goes before it is done releases those that wait for it."""

        async def one(name: str, node: Node) -> None:
            await node.over.wait()
            self.exchange.gone(name, "has finished" if name in self.exchange.status else "died")

        async with asyncio.TaskGroup() as group:
            for name, node in self.nodes.items():
                group.create_task(one(name, node))

    async def _stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        await asyncio.gather(*(qemu.end(hub) for hub in self._hubs))

    def _judge(self) -> Report:
        report = Report(self.test, Result(self.test.name, Outcome.PASSED))
        for spec in self.test.nodes:
            node = self.nodes.get(spec.name)
            result = self._judge_node(spec, node)
            report.result.children.append(result)
            if node is not None:
                report.consoles[spec.name] = node.logs.text(node.logs.console)
                if node.boot_seconds is not None:
                    report.boot_seconds[spec.name] = node.boot_seconds
        report.result.outcome = ktap.verdict(report.result.children)
        return report

    def _judge_node(self, spec: NodeSpec, node: Node | None) -> Result:
        result = Result(f"node {spec.name}", Outcome.PASSED)
        if node is None:
            return Result(result.name, Outcome.FAILED, "was never started")
        output, console = node.logs.text(node.logs.output), node.logs.text(node.logs.console)
        result.children = ktap.parse(output)
        splats = klog.scan(console, self.test.allowed)
        for splat in splats:
            result.children.append(
                Result(
                    f"kernel log: {splat.title}", Outcome.FAILED, splat.kind, notes=list(splat.text)
                )
            )
        status = self.exchange.status.get(spec.name)
        problems = list(self.problems[spec.name])
        if status is None and not problems:
            problems.append("the node went off before its script had ended")
        elif status == 99:
            problems.append("the clean-up after the script failed")
        elif status and ktap.verdict(result.children) is not Outcome.FAILED:
            problems.append(f"the script ended with status {status}")
        for problem in problems:
            notes = _tail(node.logs.text(node.logs.qemu), 5)
            if not splats:
                notes += klog.dump(console)[:DUMP_LINES] or _tail(console)
            result.children.append(Result(problem, Outcome.FAILED, notes=notes))
        result.outcome = ktap.verdict(result.children)
        if result.outcome is Outcome.FAILED:
            result.notes.append(f"console: {node.logs.console}")
            result.notes.append(f"output:  {node.logs.output}")
        return result


async def execute(env: Env, test: Test) -> Report:
    """Run a test; a mistake in its files or in the environment is a failed result, not the end of
    all tests.
    """
    try:
        await build_variants(env, test.builds)  # not on the test's time
        counts = any(node.icount for node in test.nodes)
        await programs.build(env, test.programs, counts=counts)
        return await Run(env, test).execute()
    except (LabError, OSError) as error:
        return Report(test, Result(test.name, Outcome.FAILED, str(error)))
