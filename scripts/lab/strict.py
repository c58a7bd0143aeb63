# SPDX-License-Identifier: GPL-2.0
"""The strict kernel's nodes: the same tests, with the memory and the time that its checkers take."""

from __future__ import annotations

import re
from dataclasses import replace

from .env import Env
from .topology import Allowed, NodeSpec, Test

# KASAN's shadow is an eighth, what it keeps back of freed memory another part, and each slab object
# and each lock is written down with a stack trace.
MEMORY_FACTOR = 2
MEMORY_MORE = 640
# Behind the usual command line, of which it changes the watchdogs' times. Every KASAN report is
# wanted, not only the first. The unit tests inside the modules would run each time that these are
# loaded: the test of these turns them on.
CMDLINE = (
    "kasan_multi_shot kunit.enable=0 sysctl.kernel.hung_task_timeout_secs=300 watchdog_thresh=60 "
    "rcupdate.rcu_cpu_stall_timeout=300 workqueue.watchdog_thresh=300"
)

# What the kernel's own RDS is reported for, whoever is at the other end.
STOCK_RDS = tuple(
    Allowed(
        kind,
        re.compile("rds_ib_laddr_check|rds_trans_get_preferred"),
        "C asks whose an address is, with an id of its own, inside the handler of another id",
    )
    for kind in ("lockdep", "trace")
)

# What rxe is reported for, whoever uses it.
STOCK_RXE = (
    Allowed(
        "kasan",
        re.compile(r"KASAN: slab-use-after-free in rxe_pool_get_index\+"),
        "a packet's queue pair is looked up under RCU, but freed without waiting for a grace period",
    ),
)

# What the scheduler is reported for, where a processor has too much to do.
STOCK_SCHED = (
    Allowed(
        "warning",
        re.compile(r"kernel/time/hrtimer\.c:\d+ at hrtimer_forward\+[\s\S]*\bdl_task_timer\+"),
        "the timer of a deadline server is forwarded, although it was started again",
    ),
)


def _node(node: NodeSpec) -> NodeSpec:
    return replace(
        node,
        memory=node.memory * MEMORY_FACTOR + MEMORY_MORE,
        append=f"{CMDLINE} {node.append}".strip(),
    )


def adapted(env: Env, test: Test) -> Test:
    """The test as it is run on this kernel; its own [strict] values win."""
    if not env.strict:
        return test
    over = dict(test.strict)
    timeout = float(over.pop("TIMEOUT", test.timeout * env.slowness))
    return replace(
        test,
        timeout=timeout,
        nodes=tuple(_node(node) for node in test.nodes),
        allowed=test.allowed
        + STOCK_RXE
        + STOCK_SCHED
        + (STOCK_RDS if "rds_rdma" in test.stock else ()),
        params={"SLOW": str(env.slowness)} | test.params | over,
    )
