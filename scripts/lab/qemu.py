# SPDX-License-Identifier: GPL-2.0
"""QEMU: its command line, and a process that cannot outlive the runner."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .env import LabError
from .topology import NodeSpec

QEMU = "qemu-system-x86_64"
PR_SET_PDEATHSIG = 1

# Chosen for a quick boot and a complete log; none of them changes the code under test.
# oops=panic, hung_task_panic: a broken node ends at once with its report on the console, instead of
# a timeout.
CMDLINE = (
    "console=ttyS0 panic=-1 oops=panic printk.devkmsg=on loglevel=7 printk.time=1 "
    "mitigations=off no_timer_check cryptomgr.notests audit=0 random.trust_cpu=on "
    "net.ifnames=0 log_buf_len=8M sysctl.kernel.hung_task_timeout_secs=180 sysctl.kernel.hung_task_panic=1 "
    "sysctl.kernel.hung_task_warnings=-1 watchdog_thresh=30 rcupdate.rcu_cpu_stall_timeout=60"
)


@cache
def default_accel() -> str:
    """KVM only where it can work: a /dev/kvm without vmx or svm opens, and then hangs its guests."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "tcg"
    words = set(flags.split())
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    return "kvm" if usable and words & {"vmx", "svm"} else "tcg"


@dataclass(frozen=True)
class Files:
    """Where a node's output goes, and the descriptors it inherits."""

    console: Path
    output: Path
    errors: Path
    control_fd: int
    wire_fds: tuple[int, ...]
    # The plugin that counts instructions, and what the names of its files begin with.
    insns: Path
    counts: Path


def _accel_arguments(accel: str, cpus: int, icount: bool) -> list[str]:
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    if icount:
        # A nanosecond for each instruction; with nothing to do, on to the next timer.
        return ["-accel", "tcg,thread=single", "-cpu", "max", "-icount", "shift=0,sleep=off"]
    return ["-accel", f"tcg,thread={'multi' if cpus > 1 else 'single'}", "-cpu", "max"]


def _machine(accel: str, icount: bool) -> str:
    # The kernel takes the speed of its clock from the PIT if there is one, and whatever the HPET says. Where
    # the emulator stands still in the middle of that, a clock came out that ran 44 times too fast.
    return "q35,pit=off" if accel == "tcg" and not icount else "q35"


def command(node: NodeSpec, accel: str, kernel: Path, initrd: Path, files: Files) -> list[str]:
    """The whole command line of one node."""
    line = [
        QEMU,
        "-name",
        node.name,
        "-machine",
        _machine(accel, node.icount),
        *_accel_arguments(accel, node.cpus, node.icount),
    ]
    line += ["-smp", str(node.cpus), "-m", str(node.memory)]
    line += ["-nodefaults", "-no-user-config", "-display", "none"]
    if not node.resets:
        line += ["-no-reboot"]
    line += ["-kernel", str(kernel), "-initrd", str(initrd)]
    line += ["-append", f"{CMDLINE} {node.append}".strip()]
    line += ["-serial", f"file:{files.console}"]
    line += ["-device", "virtio-serial-pci,id=ports"]
    line += ["-chardev", f"file,id=out,path={files.output}"]
    line += ["-device", "virtserialport,bus=ports.0,nr=1,chardev=out,name=lab.out"]
    line += ["-chardev", f"socket,id=ctl,fd={files.control_fd}"]
    line += ["-device", "virtserialport,bus=ports.0,nr=2,chardev=ctl,name=lab.ctl"]
    if accel == "tcg" and node.icount:
        line += ["-plugin", f"{files.insns},out={files.counts}"]
    for nic, fd in zip(node.nics, files.wire_fds, strict=True):
        line += ["-netdev", f"dgram,id=net{nic.slot},local.type=fd,local.str={fd}"]
        # Without buffers that are merged the guest's driver takes its pages from no pool. rxe frees a dead
        # queue pair's packets under that pair's lock, with interrupts off, and a page that goes back to a
        # pool lets other packets come in: one for the same pair waits for that lock for ever.
        device = f"virtio-net-pci,mrg_rxbuf=off,netdev=net{nic.slot},mac={nic.mac},host_mtu={nic.link.mtu}"
        line += ["-device", f"{device},addr=0x{16 + nic.slot:x}"]
    return line


def hub_command(name: str, fds: Sequence[int]) -> list[str]:
    """A QEMU without a machine, as a switch: every frame that comes in at one port goes out at the
    others.
    """
    line = [
        QEMU,
        "-name",
        name,
        "-machine",
        "none",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]
    for port, fd in enumerate(fds):
        line += ["-netdev", f"dgram,id=wire{port},local.type=fd,local.str={fd}"]
        line += ["-netdev", f"hubport,id=port{port},hubid=0,netdev=wire{port}"]
    return line


def _die_with_parent() -> None:
    """In the child, before exec: the kernel kills it when the runner is gone, however it went."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)  # Ctrl-C goes to the runner alone, which ends its nodes itself


async def launch(
    line: Sequence[str], errors: Path, fds: Sequence[int]
) -> asyncio.subprocess.Process:
    """Start QEMU. Call from the main thread: the death signal is bound to the thread that forks."""
    program = shutil.which(line[0])
    if program is None:
        raise LabError(f"{line[0]} is not in this root: its package is qemu-system-x86")
    with errors.open("wb") as err:
        return await asyncio.create_subprocess_exec(
            program,
            *line[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=err,
            stderr=err,
            pass_fds=tuple(fds),
            preexec_fn=_die_with_parent,
        )


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill this process, by its id, and wait until it is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
