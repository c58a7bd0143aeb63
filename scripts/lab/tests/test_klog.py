# SPDX-License-Identifier: GPL-2.0
"""What counts as a kernel report, and what does not."""

import re
import unittest

from lab import klog
from lab.topology import Allowed

# One line of each, as kernels print them; the kind that it must be taken for.
REPORTS = (
    ("panic", "Kernel panic - not syncing: sysrq triggered crash"),
    ("rust-panic", "rust_kernel: panicked at rust/kernel/rdma/client.rs:10:5:"),
    ("kasan", "BUG: KASAN: slab-use-after-free in rxe_qp_destroy+0x1/0x2 [rdma_rxe]"),
    ("restrack", "infiniband rxe0: BUG: RESTRACK detected leak of resources"),
    (
        "restrack",
        "WARNING: drivers/infiniband/core/restrack.c:52 at rdma_restrack_clean+0x3c/0x60 [ib_core]",
    ),
    ("lockup", "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [insmod:87]"),
    ("lockup", "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!"),
    ("sleep-in-atomic", "BUG: sleeping function called from invalid context at mm/slab.h:300"),
    ("sleep-in-atomic", "BUG: scheduling while atomic: insmod/87/0x00000002"),
    ("lockdep", "WARNING: possible circular locking dependency detected"),
    ("lockdep", "WARNING: possible recursive locking detected"),
    ("lockdep", "WARNING: inconsistent lock state"),
    ("lockdep", "WARNING: suspicious RCU usage"),
    ("lockdep", "INFO: trying to register non-static key."),
    ("page-fault", "BUG: unable to handle page fault for address: ffffc90000001000"),
    ("page-fault", "BUG: kernel NULL pointer dereference, address: 0000000000000008"),
    ("oops", "Oops: 0002 [#1] SMP NOPTI"),
    ("oops", "Oops: general protection fault, probably for non-canonical address 0xdead: 0000"),
    ("slab", "BUG kmalloc-64 (Tainted: G           O       ): Poison overwritten"),
    ("slab", "BUG rxe_qp (Tainted: G O): Objects remaining on __kmem_cache_shutdown()"),
    ("list", "list_del corruption. prev->next should be ffff, but was 0000"),
    ("refcount", "refcount_t: underflow; use-after-free."),
    ("page-state", "BUG: Bad page state in process insmod  pfn:12345"),
    ("page-state", "page dumped because: nonzero _refcount"),
    ("ubsan", "UBSAN: array-index-out-of-bounds in drivers/infiniband/core/cm.c:1:2"),
    ("kmemleak", "kmemleak: leaked: unreferenced object 0xffff888003c5a000 (size 64):"),
    ("kmemleak", "kmemleak: Kernel memory leak detector disabled"),
    ("kmemleak", "kmemleak: Memory pool empty, consider increasing its size"),
    ("lockdep", "INFO: lockdep is turned off."),
    ("lockdep", "BUG: MAX_LOCKDEP_CHAINS too low!"),
    ("kasan", "BUG: KASAN: slab-out-of-bounds in _RNvCs_5krdma3f+0x1/0x2 [krdma]"),
    ("dma-api", "DMA-API: debugging out of memory - disabling"),
    ("odebug", "ODEBUG: free active (active state 0) object: ffff object type: timer_list"),
    ("dma-api", "DMA-API: rxe0: device driver failed to check map error"),
    ("hung-task", "INFO: task rmmod:99 blocked for more than 60 seconds."),
    ("rcu-stall", "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    ("rcu-stall", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
    ("netdev-leak", "unregister_netdevice: waiting for v0 to become free. Usage count = 2"),
    ("duplicate", "sysfs: cannot create duplicate filename '/class/infiniband/rxe0'"),
    ("unknown-symbol", "rrds: Unknown symbol krdma_abi_54e8 (err -2)"),
    ("module-refused", "krdma: version magic '7.3.3 SMP' should be '7.3.4 SMP'"),
    ("alloc-failure", "insmod: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)"),
    ("oom", "Out of memory: Killed process 77 (sh) total-vm:100kB"),
    ("bug", "kernel BUG at mm/slub.c:500!"),
    ("warning", "WARNING: CPU: 0 PID: 88 at lib/x.c:10 f+0x1/0x2 [rrds]"),
    ("trace", "Call Trace:"),
)

# Printed by healthy kernels and by our tests.
HARMLESS = (
    "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 31700)",
    "DMA-API: preallocated 65536 debug entries",
    "DMA-API: debugging enabled by kernel config",
    "FAULT_INJECTION: forcing a failure.",
    "Warning: unable to open an initial console.",
    "krdma: loading out-of-tree module taints kernel.",
    "krdma: module verification failed: signature and/or required key missing - tainting kernel",
    "rdma_devinfo: rxe0: removed",
    "debugfs: mounted",
    "RAS: Correctable Errors collector initialized.",
    "x86/mm: Checked W+X mappings: passed, no W+X pages found.",
    "rcu: \tRCU CPU stall warnings timeout set to 60 (rcu_cpu_stall_timeout).",
    "lab: a test says BUG: and WARNING: on purpose",
    "DMA-API: preallocated 65536 debug entries",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)",
    "Kernel command line: console=ttyS0 oops=panic",
    "virtio_net virtio3 eth0: NETDEV WATCHDOG: CPU: 0: transmit queue 0 timed out 5000 ms",
    "sysrq: Show Blocked State",
    # A part of a report of KASAN.
    "page dumped because: kasan: bad access detected",
)

OOPS = """\
[    5.000000] before
[    6.000001] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    6.000002] Oops: 0002 [#1] SMP NOPTI
[    6.000003] CPU: 0 PID: 88 Comm: sh Not tainted
[    6.000004] Call Trace:
[    6.000005]  <TASK>
[    6.000006]  sysrq_handle_crash+0x12/0x20
[    6.000007]  </TASK>
[    6.000008] CR2: 0000000000000000
[    6.000009] ---[ end trace 0000000000000000 ]---
[    7.000000] after
"""


class Kinds(unittest.TestCase):
    def test_each_report_is_found_and_named(self) -> None:
        for kind, line in REPORTS:
            with self.subTest(line=line):
                self.assertEqual(klog.kind_of(f"[   12.345678] {line}"), kind)
                self.assertEqual(klog.kind_of(f"[   12.345678][   T88] {line}"), kind)

    def test_every_kind_has_an_example(self) -> None:
        self.assertEqual(klog.KINDS - {kind for kind, _ in REPORTS}, {"irq"})
        self.assertEqual(klog.kind_of("irq 11: nobody cared (try booting with irqpoll)"), "irq")

    def test_healthy_lines_are_not(self) -> None:
        for line in HARMLESS:
            with self.subTest(line=line):
                self.assertIsNone(klog.kind_of(f"[    1.000000] {line}"))


class Scan(unittest.TestCase):
    def test_one_oops_is_one_report_with_its_trace(self) -> None:
        (splat,) = klog.scan(OOPS)
        self.assertEqual((splat.kind, splat.line), ("page-fault", 2))
        self.assertIn("sysrq_handle_crash", "\n".join(splat.text))
        self.assertIn("end trace", splat.text[-1])
        self.assertEqual(
            splat.title, "BUG: kernel NULL pointer dereference, address: 0000000000000000"
        )

    def test_the_line_after_the_scissors_names_it(self) -> None:
        text = "[ 1.0] ------------[ cut here ]------------\n[ 1.1] refcount_t: underflow; x\n"
        (splat,) = klog.scan(text)
        self.assertEqual(splat.kind, "refcount")

    def test_a_dump_that_was_asked_for_is_none(self) -> None:
        asked = "[ 9.0] lab: time is nearly up: blocked tasks\n[ 9.1] Call Trace:\n[ 9.2]  f+0x1\n"
        self.assertEqual(klog.scan(asked), [])
        self.assertEqual(klog.dump("[ 1.0] x\n" + asked)[0], asked.split("\n")[0])
        self.assertEqual(klog.dump("[ 1.0] x\n"), [])
        self.assertEqual([s.kind for s in klog.scan(asked + OOPS)], ["page-fault"])

    def test_two_reports_are_two(self) -> None:
        self.assertEqual(len(klog.scan(OOPS + OOPS)), 2)

    def test_a_clean_log_has_none(self) -> None:
        self.assertEqual(klog.scan("[ 1.0] Run /init as init process\r\n" * 5), [])

    def test_control_sequences_do_not_hide_a_report(self) -> None:
        self.assertEqual(len(klog.scan("\x1b[0m[ 1.0] \x1b[1mWARNING: x\r\n")), 1)

    def test_only_what_is_allowed_is_let_through(self) -> None:
        wanted = "[ 1.0] rrds: Unknown symbol krdma_abi_1 (err -2)\n"
        other = "[ 1.0] rrds: Unknown symbol something (err -2)\n"
        allowed = [Allowed("unknown-symbol", re.compile("krdma_abi_"), "on purpose")]
        self.assertEqual(klog.scan(wanted, allowed), [])
        self.assertEqual(len(klog.scan(wanted + other, allowed)), 1)

    def test_another_kind_is_not_let_through(self) -> None:
        allowed = [Allowed("warning", re.compile("."), "on purpose")]
        self.assertEqual([splat.kind for splat in klog.scan(OOPS, allowed)], ["page-fault"])


if __name__ == "__main__":
    unittest.main()
