# SPDX-License-Identifier: GPL-2.0
"""`make bench`: runs tests/bench.toml with its large numbers, and makes tables, a page and files of what it
measured.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from . import hosttests, insns, ktap, page, qemu, report, run, table, topology
from .env import Env, LabError
from .measured import rows
from .profiles import profiles
from .table import Steps

# What may be set in the environment: the variable, and the parameter of the test.
SETTINGS = {
    "BENCH_ROUNDS": "ROUNDS",
    "BENCH_COLD_ROUNDS": "COLD_ROUNDS",
    "BENCH_OTHER_ROUNDS": "OTHER_ROUNDS",
    "BENCH_TIME": "TIME",
    "BENCH_ONLY": "ONLY",
    "BENCH_C_PATHS": "C_PATHS",
}

# MiB of memory for each path of the C implementation: it takes a third of all, and 11 MiB for both ends.
PATH_MEMORY = 36


def configured(test: topology.Test, environ: Mapping[str, str]) -> topology.Test:
    """The test with what the user sets in the environment."""
    params = dict(test.params)
    for variable, name in SETTINGS.items():
        if value := environ.get(variable):
            if name != "ONLY" and not (value.isdigit() and int(value)):
                raise LabError(f"{variable} is {value!r}: it must be a number above 0")
            params[name] = value
    memory = PATH_MEMORY * int(params.get("C_PATHS") or 0)
    nodes = tuple(replace(node, memory=node.memory + memory) for node in test.nodes)
    return replace(test, params=params, nodes=nodes)


def commit(checkout: Path) -> str:
    """What is checked out, as git describes it; `unknown` without git."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def main(env: Env) -> int:
    out = table.console(env.terminal)
    steps = Steps(out, env.terminal)
    test = configured(topology.load(env.tests / "bench.toml", soak=True), os.environ)
    folder = env.checkout / "build" / "bench"
    earlier = report.earlier_runs(folder / "runs")
    with steps.step("build", "Building the modules"):
        hosttests.need_modules(env, "rdma_pingpong")
    how = env.accel or qemu.default_accel()
    doing = f"Measuring on {env.release} ({how}), {test.params['ROUNDS']} rounds"
    with steps.step("run", doing):
        done = asyncio.run(run.execute(env, test))
    if not done.passed:
        print("\n".join([*ktap.header(1), *ktap.render(done.result, 1)]))
        return 1

    output = (env.logs / test.name / "a.out").read_text(errors="replace")
    now = datetime.now(timezone.utc)
    about = {
        "time": now.isoformat(timespec="seconds"),
        "commit": commit(env.checkout),
        "kernel": env.release,
        "accelerator": how,
        "processors": test.nodes[0].cpus,
        "settings": test.params,
    }
    measured = report.Run(
        about, rows(output), profiles(output, insns.files(env.logs / test.name, "a"))
    )
    report.show(measured, earlier, out)
    result = report.save(measured, folder, f"{now:%Y%m%dT%H%M%S}-{about['commit']}")
    web = folder / "index.html"
    web.write_text(page.page(measured, earlier))
    out.print(f"all of it: {result}, with plots: {web}; kept for comparison: {folder / 'runs'}")
    return 0
