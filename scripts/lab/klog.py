# SPDX-License-Identifier: GPL-2.0
"""Finds in a node's console what a healthy kernel never prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

# Kind -> what its first line looks like. The first kind that matches names the report.
PATTERNS: tuple[tuple[str, str], ...] = (
    ("panic", r"Kernel panic - not syncing"),
    ("rust-panic", r"rust_kernel: panicked at|panicked at .*\.rs:\d+"),
    ("kasan", r"BUG: (KASAN|KFENCE|KMSAN|KCSAN)"),
    ("restrack", r"RESTRACK\b|core/restrack\.c:\d+"),
    ("lockup", r"soft lockup|hard LOCKUP|workqueue lockup"),
    ("sleep-in-atomic", r"sleeping function called from invalid context"),
    ("sleep-in-atomic", r"scheduling while atomic|Invalid wait context"),
    ("lockdep", r"possible (circular|recursive|irq) lock|inconsistent (\{.*\}|lock state)"),
    ("lockdep", r"suspicious RCU usage|HARDIRQ-safe -> HARDIRQ-unsafe|bad unlock balance"),
    ("lockdep", r"held lock freed|still has locks held|DEBUG_LOCKS_WARN|register non-static key"),
    ("lockdep", r"lockdep is turned off|MAX_LOCK(DEP_\w+|_DEPTH) too low|MAX_STACK_TRACE_ENTRIES"),
    ("page-fault", r"unable to handle|kernel NULL pointer dereference|stack guard page"),
    ("oops", r"\bOops\b|general protection fault|double fault|invalid opcode:|divide error"),
    ("slab", r"\bBUG \S+ \(|Objects remaining (on|in)|Poison overwritten|Double free"),
    ("list", r"list_(add|del).*corruption|list_(add|del) double"),
    ("refcount", r"refcount_t: |percpu ref .* <= 0"),
    # KASAN dumps the page of what it reports.
    ("page-state", r"Bad page (state|map)|page dumped because: (?!kasan: )|usercopy: "),
    ("ubsan", r"UBSAN: "),
    # "leaked" is the guest's own word (tests/lib/leaks.sh): not all that kmemleak suspects is ours.
    ("kmemleak", r"kmemleak: (leaked|Cannot|Memory pool|Found|Trying|Freeing|.*detector disabled)"),
    ("odebug", r"ODEBUG: "),
    ("dma-api", r"DMA-API: .*(disab|not|wrong|leak|pending|exceed|differ|overlap|free|error|sync)"),
    ("hung-task", r"INFO: task .* blocked (for more than|in I/O wait)"),
    ("rcu-stall", r"rcu.*(detected (expedited )?stalls?|self-detected stall|kthread starved)"),
    ("netdev-leak", r"unregister_netdevice: waiting for|leaked reference|ref_tracker: "),
    # Not NETDEV WATCHDOG: a node that stands still for five seconds stops its peer's card, as a wire loses nothing.
    ("irq", r"nobody cared|Disabling IRQ #"),
    ("duplicate", r"cannot create duplicate filename|tried to init an initialized object"),
    ("unknown-symbol", r"Unknown symbol|disagrees about version of symbol|no symbol version for"),
    ("module-refused", r"version magic .* should be|Invalid relocation target"),
    ("alloc-failure", r"page allocation failure|SLUB: Unable to allocate"),
    ("oom", r"Out of memory: Killed|invoked oom-killer"),
    ("bug", r"\bBUG: |kernel BUG at"),
    ("warning", r"\bWARNING: "),
    ("trace", r"cut here \]-|\bCall Trace:"),
)
KINDS = frozenset(kind for kind, _ in PATTERNS)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in PATTERNS)

# tests/lib/init says so before it asks for the state of all tasks.
DUMP = "lab: time is nearly up"

# Lines after the first that belong to a report, unless an end mark comes sooner.
EXCERPT = 60
# How far below its first line a report has its trace. Lockdep tells of both sides before.
TRACE_WITHIN = 25
LOCKDEP_WITHIN = 160
_STAMP = re.compile(r"^(?:<\d+>)?\[\s*(\d+\.\d+)\](?:\[[^\]]*\])? ?")
_END = re.compile(r"---\[ end |</TASK>|Kernel Offset:")
_OURS = re.compile(r"lab: ")


class Exempt(Protocol):
    """What an allow-list entry offers."""

    kind: str
    match: re.Pattern[str]


@dataclass(frozen=True)
class Splat:
    """One report: its kind, where it starts, and its text."""

    kind: str
    line: int
    text: tuple[str, ...]

    @property
    def title(self) -> str:
        return _STAMP.sub("", self.text[0]).strip()


def clean(text: str) -> list[str]:
    """Console bytes as lines, without carriage returns and terminal control sequences."""
    text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>78c])", "", text.replace("\r", ""))
    return text.split("\n")


def dump(text: str) -> list[str]:
    """What a guest showed of its tasks when the time was nearly up; nothing if it never was."""
    lines = clean(text)
    for at, line in enumerate(lines):
        if DUMP in line:
            return lines[at:]
    return []


def kind_of(line: str) -> str | None:
    message = _STAMP.sub("", line)
    if _OURS.match(message):
        return None
    for kind, pattern in _COMPILED:
        if pattern.search(message):
            return kind
    return None


def _end_of(lines: list[str], start: int, most: int) -> int:
    """One past the last line of the report that starts here."""
    last = min(start + most, len(lines))
    for at in range(start, last):
        if "---[ end " in lines[at]:
            return at + 1
        if _END.search(lines[at]):
            # The registers of the interrupted user space follow a backtrace: up to the end mark, if
            # one is near.
            for more in range(at + 1, min(at + 25, last)):
                if "---[ end " in lines[more]:
                    return more + 1
            return at + 1
    return last


def _has_trace(lines: list[str], start: int, within: int) -> bool:
    return any("Call Trace:" in line for line in lines[start : start + within])


def scan(text: str, allowed: Iterable[Exempt] = ()) -> list[Splat]:
    """The reports in a console log, except those which the test says it provokes."""
    lines = clean(text)
    allowed = list(allowed)
    asked = len(lines) - len(dump(text))
    found, at = [], 0
    while at < len(lines):
        kind = kind_of(lines[at])
        if kind is None:
            at += 1
            continue
        start = at
        if kind == "trace" and "cut here" in lines[at] and at + 1 < len(lines):
            # The line after the scissors says what it is about.
            kind = kind_of(lines[at + 1]) or kind
            at += 1
        within = LOCKDEP_WITHIN if kind == "lockdep" else TRACE_WITHIN
        most = max(EXCERPT, within)
        end = _end_of(lines, at, most) if _has_trace(lines, at, within) else at + 1
        if kind == "trace" and start >= asked:
            at += 1  # the guest's own init asked for it; a report may follow all the same
            continue
        body = "\n".join(lines[start:end])
        if not any(entry.kind == kind and entry.match.search(body) for entry in allowed):
            text_lines = tuple(line for line in lines[at:end] if line.strip())
            found.append(Splat(kind, start + 1, text_lines))
        at = end
    return found
