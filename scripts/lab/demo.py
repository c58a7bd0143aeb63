# SPDX-License-Identifier: GPL-2.0
"""`make demo`: builds, boots two nodes, shows what the modules do, as a list of scenes.

A scene draws what it wants from the report of tests/demo.toml. What the demo shows is run by
`make test` as well; a later scene is a function more in SCENES and some lines more in demo.sh.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rich.console import Console

from . import devinfo, hosttests, ktap, qemu, run, table, topology
from .env import Env, LabError
from .run import Report
from .table import Steps

COLD_BUDGET, WARM_BUDGET = 720.0, 60.0

# Of rdma_devinfo's report; the whole of it is in the log.
ROWS = (
    "node_guid",
    "transport",
    "max_qp",
    "max_qp_wr",
    "max_sge",
    "max_cqe",
    "max_mr",
    "max_srq",
    "atomic_cap",
    "num_comp_vectors",
    "port 1 state",
    "port 1 link_layer",
    "port 1 active_mtu",
    "port 1 max_msg_sz",
    "port 1 GID[0]",
    "port 1 GID[1]",
    "port 1 GID[2]",
    "port 1 pkey[0]",
)


def show_devices(report: Report, out: Console) -> None:
    """Every RDMA device that the Rust client was told of, side by side."""
    columns, found = ["attribute"], []
    for node, console in report.consoles.items():
        for device in devinfo.parse(console):
            state = "came and went" if device.removed else "came, was not removed"
            columns.append(f"node {node}: {device.name} ({state})")
            found.append(device.attributes)
    rows = [
        (row.replace("port 1 ", "port 1: "), *(values.get(row, "") for values in found))
        for row in ROWS
        if any(row in values for values in found)
    ]
    out.print(table.table("rdma_devinfo: RDMA devices seen from Rust", columns, rows))


SCENES: tuple[Callable[[Report, Console], None], ...] = (show_devices,)


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
        with steps.step("run", f"Loading {', '.join(test.modules)}; looking; unloading"):
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
            lines: list[str] = []
            if hosttests.build_modules(env, lines.append, "rdma_devinfo").failed:
                raise LabError("the modules do not build:\n" + "\n".join(lines))
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
