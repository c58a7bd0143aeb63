# SPDX-License-Identifier: GPL-2.0
"""`make demo`: builds, boots three nodes, shows what the modules do, as a list of scenes.

A scene draws what it wants from the report of tests/demo.toml. What the demo shows is run by
`make test` as well; a later scene is a function more in SCENES and some lines more in demo.sh.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from rich.console import Console

from . import hosttests, ktap, programs, qemu, run, table, topology
from .env import Env
from .run import Report
from .table import Steps

COLD_BUDGET, WARM_BUDGET = 720.0, 180.0

_TOLD = re.compile(r"\bdemo: (traffic|memory) (.*)$", re.MULTILINE)

# What carries RDS on each node of tests/demo.toml.
RUNS = {"a": "rrds", "b": "rrds", "c": "C RDS"}


def told(report: Report, kind: str) -> list[dict[str, str]]:
    """What the nodes' script has told, as words with values."""
    lines = []
    for console in report.consoles.values():
        for found, words in _TOLD.findall(console.replace("\r", "")):
            if found == kind:
                lines.append(dict(word.partition("=")[::2] for word in words.split()))
    return lines


def _who(node: str) -> str:
    return f"{node} ({RUNS.get(node, '?')})"


def _milliseconds(value: str) -> str:
    return f"{float(value or 0) / 1000:.2f} ms"


def show_traffic(report: Report, out: Console) -> None:
    """Who has exchanged how many messages with whom, and how fast."""
    columns = ("from", "to", "over", "each way", "per second", "RTT median", "90 %", "99 %")
    rows = [
        (
            _who(line["from"]),
            _who(line["to"]),
            line["over"],
            line["count"],
            f"{float(line['rate'] or 0):.0f}",
            *(_milliseconds(line[key]) for key in ("p50", "p90", "p99")),
        )
        for line in told(report, "traffic")
    ]
    title = "Messages of 64 bytes, 16 under way, every one verified"
    out.print(table.table(title, columns, rows, right=(3, 4, 5, 6, 7)))


def show_memory(report: Report, out: Console) -> None:
    """What an idle peer costs."""
    rows = [(_who(line["from"]), _who(line["to"]), line["kb"]) for line in told(report, "memory")]
    title = "Memory for the first peer"
    out.print(table.table(title, ("node", "peer", "KiB"), rows, right=(2,)))


SCENES: tuple[Callable[[Report, Console], None], ...] = (show_traffic, show_memory)


async def _play(env: Env, steps: Steps) -> Report:
    """The nodes' part, with its two phases shown apart."""
    test = topology.load(env.tests / "demo.toml")
    playing = run.Run(env, test)
    work = asyncio.create_task(playing.execute())
    try:
        how = env.accel or qemu.default_accel()
        with steps.step("boot", f"Booting {len(test.nodes)} nodes on {env.release} ({how})"):
            ready = asyncio.create_task(playing.booted())
            await asyncio.wait({work, ready}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        doing = "Two nodes with rrds; a third with the kernel's own RDS joins; then over TCP"
        with steps.step("run", doing):
            return await work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def show_times(env: Env, steps: Steps, out: Console) -> None:
    """Where the time went, and both figures that the project promises to keep."""
    total = time.time() - env.started
    rows = [("provision", table.seconds(env.provision_seconds))]
    rows += [(name, table.seconds(took)) for name, took in steps.times]
    named = env.provision_seconds + sum(took for _, took in steps.times)
    rows.append(("other", table.seconds(max(0.0, total - named))))
    rows.append(("total", table.seconds(total)))
    out.print(table.table("Times", ("phase", "time"), rows, right=(1,)))
    kind, budget = ("cold", COLD_BUDGET) if env.cold else ("warm", WARM_BUDGET)
    warm = total - env.provision_seconds
    out.print(f"this run ({kind} cache): {table.seconds(total)} of at most {table.seconds(budget)}")
    out.print(
        f"without provisioning: {table.seconds(warm)} of at most {table.seconds(WARM_BUDGET)}"
    )


def main(env: Env) -> int:
    out = table.console(env.terminal)
    steps = Steps(out, env.terminal)
    try:
        with steps.step("build", "Building the modules"):
            hosttests.need_modules(env, "none")
        with steps.step("tool", "Building the rds tool"):
            asyncio.run(programs.build(env, ("rds",)))
        report = asyncio.run(_play(env, steps))
    except KeyboardInterrupt:
        out.print("interrupted; the nodes are gone")
        return 130
    for scene in SCENES:
        out.print()
        scene(report, out)
    out.print()
    if report.passed:
        out.print(f"{report.result.count()}; the kernels' logs are clean")
    else:
        print("\n".join([*ktap.header(1), *ktap.render(report.result, 1)]))
    show_times(env, steps, out)
    return 0 if report.passed else 1
