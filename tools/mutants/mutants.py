#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Break the protocol engine on purpose and see who notices.

Each mutant is one protocol bug that a person could have written. It is applied to a copy of the
source, in which the unit tests run and, if they notice nothing or if --both is given, the
simulator; a mutant that neither notices fails the run. Usage: mutants.py [--list] [--both]
[NAME ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
TRACEPOINTS = Path("drivers/rrds/tracepoints.h")
SEEDS = 600
STEPS = 20_000


@dataclass(frozen=True)
class Mutant:
    """One bug: in `file`, the text `before`, which occurs exactly once, becomes `after`."""

    name: str
    bug: str
    file: str
    before: str
    after: str


MUTANTS = [
    Mutant(
        "fragment-size",
        "fragments of 4095 bytes",
        "send/transmit.rs",
        "let len = min(total.saturating_sub(offset), FRAGMENT_LEN);",
        "let len = min(total.saturating_sub(offset), FRAGMENT_LEN - 1);",
    ),
    Mutant(
        "fragment-count",
        "an empty last fragment after a multiple of 4096 bytes",
        "send/transmit.rs",
        "let last = end >= total;",
        "let last = end > total || len < FRAGMENT_LEN;",
    ),
    Mutant(
        "fragment-short",
        "a fragment may lack its last byte",
        "recv/reassembly.rs",
        "if data_len < len {",
        "if data_len + 1 < len {",
    ),
    Mutant(
        "fragment-identity",
        "the length of continuation fragments is not compared",
        "recv/reassembly.rs",
        "|| header.len != first.len\n",
        "",
    ),
    Mutant(
        "ack-too-high",
        "one more is acknowledged than was received",
        "recv/ack.rs",
        "self.value = seq;",
        "self.value = seq + 1;",
    ),
    Mutant(
        "ack-early",
        "a message is acknowledged when its first fragment has come",
        "recv/reassembly.rs",
        "_ if !done => (Received::Partial, None),",
        "_ if !done => (Received::Partial, Some(completed)),",
    ),
    Mutant(
        "ack-stale",
        "a C peer gets the acknowledgement of the last connection",
        "path.rs",
        "        self.ack = AckState::new(if handshake.has_true_ack() {\n"
        "            self.reassembly.received()\n"
        "        } else {\n"
        "            0\n"
        "        });",
        "        self.ack = AckState::new(self.reassembly.received());",
    ),
    Mutant(
        "ack-duplicate",
        "duplicates are not acknowledged again",
        "recv/reassembly.rs",
        "(Received::Ignored(Ignored::Duplicate), Some(completed))",
        "(Received::Ignored(Ignored::Duplicate), None)",
    ),
    Mutant(
        "ack-stuck",
        "after one acknowledgement that is waited for there is none any more",
        "send/transmit.rs",
        "self.bare = self.bare.filter(|&id| !self.slots.is_complete(id));",
        "let _ = self.bare.filter(|&id| !self.slots.is_complete(id));",
    ),
    Mutant(
        "refused-gap",
        "after a message that was refused the next one is taken",
        "recv/reassembly.rs",
        "self.refuses = true;",
        "self.refuses = false;",
    ),
    Mutant(
        "refused-restart",
        "a peer that starts over is forgotten if its first message is refused",
        "recv/reassembly.rs",
        "self.expected = min(self.expected, header.seq);",
        "let _ = min(self.expected, header.seq);",
    ),
    Mutant(
        "refused-forever",
        "a connection on which a message was refused goes on for ever",
        "recv/refusal.rs",
        "self.due.is_some_and(|due| due <= now)",
        "self.due.is_some_and(|due| due < now) && self.stay == 0",
    ),
    Mutant(
        "refused-at-once",
        "the time after a refused message does not get longer",
        "recv/refusal.rs",
        ".saturating_mul(2)",
        ".saturating_mul(1)",
    ),
    Mutant(
        "ack-unchecked",
        "acknowledgements of unsent messages are believed",
        "send/queue.rs",
        "if ack > self.sent_high {",
        "if ack > self.next_seq + 1000 {",
    ),
    Mutant(
        "ack-frees-next",
        "an acknowledgement frees the message after it, too",
        "send/queue.rs",
        "front.item.is_none() || front.ended.is_some() || front.seq <= self.acked\n",
        "front.item.is_none() || front.ended.is_some() || front.seq <= self.acked + 1\n",
    ),
    Mutant(
        "ack-not-bare",
        "no frame is sent for an acknowledgement alone",
        "send/control.rs",
        "let due = cx.ack.is_wanted() || cx.credits.is_update_due();",
        "let due = cx.credits.is_update_due();",
    ),
    Mutant(
        "retransmit-unflagged",
        "what is sent again is not flagged RETRANSMITTED",
        "send/transmit.rs",
        "flags = flags.with(Flags::RETRANSMITTED).with(Flags::ACK_REQUIRED);",
        "flags = flags.with(Flags::ACK_REQUIRED);",
    ),
    Mutant(
        "retransmit-no-demand",
        "what is sent again demands no acknowledgement",
        "send/transmit.rs",
        "flags = flags.with(Flags::RETRANSMITTED).with(Flags::ACK_REQUIRED);",
        "flags = flags.with(Flags::RETRANSMITTED);",
    ),
    Mutant(
        "retransmit-flags-new",
        "messages that were never sent are flagged RETRANSMITTED",
        "send/retransmit.rs",
        "self.resend_below = self.started_high.wrapping_add(1);",
        "self.resend_below = self.next_seq;",
    ),
    Mutant(
        "retransmit-forgotten",
        "after a reconnect sending goes on where it was",
        "send/retransmit.rs",
        "        self.sent = 0;\n",
        "",
    ),
    Mutant(
        "retransmit-middle",
        "the message on its way goes on in the middle",
        "send/transmit.rs",
        "        self.demand = AckDemand::reset(settings);\n        self.current = None;\n",
        "        self.demand = AckDemand::reset(settings);\n",
    ),
    Mutant(
        "duplicate-unflagged",
        "low numbers are dropped without the flag, too",
        "seq.rs",
        "seq < expected && flags.contains(Flags::RETRANSMITTED)",
        "seq < expected || flags.contains(Flags::CONG_BITMAP)",
    ),
    Mutant(
        "duplicate-off-by-one",
        "the message expected next is a duplicate",
        "seq.rs",
        "seq < expected && flags.contains(Flags::RETRANSMITTED)",
        "seq <= expected && flags.contains(Flags::RETRANSMITTED)",
    ),
    Mutant(
        "duplicate-accepted",
        "duplicates are delivered",
        "seq.rs",
        "seq < expected && flags.contains(Flags::RETRANSMITTED)",
        "seq < expected && flags.bits() == 0xff",
    ),
    Mutant(
        "solicited-message",
        "the last fragment does not wake the receiver",
        "send/transmit.rs",
        "            solicited: shape.last || stalls,",
        "            solicited: (shape.last && header.seq == 0) || stalls,",
    ),
    Mutant(
        "solicited-ack",
        "bare acknowledgements do not wake the receiver",
        "send/transmit.rs",
        "            solicited: shape.last || stalls,",
        "            solicited: (shape.last && header.len + header.seq as u32 > 0) || stalls,",
    ),
    Mutant(
        "bitmap-order",
        "bits of the map are numbered from the most significant one",
        "cong/map.rs",
        "((port >> 3) as usize, 1 << (port & 7))",
        "((port >> 3) as usize, 0x80 >> (port & 7))",
    ),
    Mutant(
        "bitmap-mask",
        "the mask tells of ports that got congested",
        "cong/map.rs",
        "freed |= was & !is;",
        "freed |= is & !was;",
    ),
    Mutant(
        "bitmap-not-first",
        "a connection does not start with the map",
        "path.rs",
        "        if !self.loopback {\n            self.sender.queue_map();\n        }\n",
        "",
    ),
    Mutant(
        "bitmap-coalesced-away",
        "a change while the map is being sent is lost",
        "send/transmit.rs",
        "        self.current = if last { None } else { Some(Current::Map(end)) };\n"
        "        if offset == 0 {",
        "        self.current = if last { None } else { Some(Current::Map(end)) };\n"
        "        if last {\n            self.map_pending = false;\n        }\n"
        "        if offset == 0 {",
    ),
    Mutant(
        "bitmap-flags",
        "a bitmap is known by its bit, not by the whole byte",
        "recv/reassembly.rs",
        "Ok(if header.flags == Flags::CONG_BITMAP {",
        "Ok(if header.flags.contains(Flags::CONG_BITMAP) {",
    ),
    Mutant(
        "congestion-flaps",
        "a port gets free as soon as it is below the limit",
        "account.rs",
        "let low = self.bytes < limit / 2 && self.true_size < wide / 2;",
        "let low = self.bytes < limit && self.true_size < wide;",
    ),
    Mutant(
        "monitor-deaf",
        "a freed port is not told to the socket that asked",
        "cong/monitor.rs",
        "self.fired |= self.armed & mask;",
        "self.fired |= self.armed & mask & 1;",
    ),
    Mutant(
        "race-stubborn",
        "a C peer's request does not end our own attempt",
        "conn/machine.rs",
        "if met == State::Dialing && request.own.is_some() && identity.local < identity.peer {",
        "if met == State::Dialing {",
    ),
    Mutant(
        "incarnation-ignored",
        "a rebooted peer of our own kind is taken for its former self",
        "path.rs",
        "        if self.life.is_replaced_by(life) {\n"
        "            self.reassembly.forget();\n"
        "        }\n",
        "",
    ),
    Mutant(
        "incarnation-reply",
        "the reply acknowledges what another life sent",
        "path.rs",
        "identity.reply(h, if known { received } else { 0 })",
        "identity.reply(h, received)",
    ),
    Mutant(
        "emit-advances",
        "a frame that could not be posted counts as posted",
        "send/transmit.rs",
        "            fence: shape.fence,\n        })?;",
        "            fence: shape.fence,\n        })\n        .unwrap_or(());",
    ),
    Mutant(
        "cancel-half-sent",
        "a message on its way out is cut off",
        "send/queue.rs",
        "let busy = self.sending && index == self.sent;\n        let acked",
        "let busy = false;\n        let acked",
    ),
    Mutant(
        "operation-repeated",
        "an RDMA operation is executed again after a reconnect",
        "send/retransmit.rs",
        "op.work_requests > ring || !op.repeatable && entry.seq < resend_below",
        "op.work_requests > ring",
    ),
    Mutant(
        "credit-overdrawn",
        "the last credit is spent without an update",
        "credit.rs",
        "Some(1) => self.posted > 0,",
        "Some(1) => true,",
    ),
    Mutant(
        "credit-not-returned",
        "posted buffers are not told",
        "credit.rs",
        "min(self.posted, MAX_ADVERTISED_CREDITS) as u8",
        "min(self.posted, 0) as u8",
    ),
    Mutant(
        "credit-unchecked",
        "SENDs are posted without credit",
        "send/transmit.rs",
        "if !matches!(next, Next::Operation(..)) && !cx.credits.can_send() {",
        "if matches!(next, Next::Operation(..)) && !cx.credits.can_send() {",
    ),
    Mutant(
        "signal-never",
        "no completion is asked for at the end of a batch",
        "send/slots.rs",
        "        !follows\n            || self.unsignaled",
        "        self.unsignaled",
    ),
    Mutant(
        "demand-cadence",
        "an acknowledgement is demanded one message late",
        "send/demand.rs",
        "if self.packets == 0 || self.bytes < len {",
        "if self.bytes < len {",
    ),
    Mutant(
        "probe-never",
        "a dead peer that is waited for is never found out",
        "path.rs",
        "if self.probe.poll(settings, now, up && awaited, frames) {",
        "if self.probe.poll(settings, now, up && awaited, frames) && self.identity.tos == 255 {",
    ),
    Mutant(
        "news-of-acks",
        "an acknowledgement that is demanded waits until something else is to be sent",
        "path.rs",
        "self.state() != State::Up || self.refusal.is_new() || self.has_work()\n",
        "self.state() != State::Up || self.refusal.is_new() || self.sender.has_work()\n",
    ),
    Mutant(
        "news-of-refusals",
        "that a message was refused is noticed when something else is to be done",
        "path.rs",
        "|| self.refusal.is_new() || self.has_work()\n",
        "|| self.has_work()\n",
    ),
    Mutant(
        "news-of-ends",
        "the end of a message that was cancelled is noticed when the first one is done",
        "send/queue.rs",
        "self.ended > 0 || self.is_front_done()\n",
        "self.is_front_done()\n",
    ),
    Mutant(
        "held-forgotten",
        "a request that waits for the end of a connection is not accepted",
        "conn/machine.rs",
        "match self.held.take() {",
        "match self.held.take().filter(|_| false) {",
    ),
    Mutant(
        "no-retry",
        "a lost connection is not tried again",
        "conn/machine.rs",
        "(self.timer, self.rest) = if self.wanted || pending {",
        "(self.timer, self.rest) = if !(self.wanted || pending) {",
    ),
]


def run(command: list[str], cwd: Path, limit: float) -> tuple[int, str]:
    """Runs a command; exit status 124 means that it took too long."""
    env = dict(
        os.environ,
        RUST_BACKTRACE="0",
        CARGO_TARGET_DIR=str(WORK / "target"),
        # Nobody debugs a mutant.
        CARGO_PROFILE_DEV_DEBUG="0",
        CARGO_PROFILE_RELEASE_DEBUG="0",
    )
    try:
        result = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "timed out"
    return result.returncode, result.stdout + result.stderr


def copy_source(target: Path) -> None:
    """Copies what the host build needs; as new, lest cargo takes a mutant of a last run for it."""
    for part in ("drivers/rrds/proto", "tools"):
        skip = shutil.ignore_patterns("target", "corpus", "__pycache__")
        shutil.copytree(ROOT / part, target / part, ignore=skip, copy_function=shutil.copyfile)
    # A test compares the engine's reasons with the names that the tracepoints have for them.
    shutil.copyfile(ROOT / TRACEPOINTS, target / TRACEPOINTS)


def tests(source: Path) -> str | None:
    """Runs the unit tests; returns who noticed, if anyone did."""
    command = ["cargo", "test", "--quiet", "-p", "rds_proto", "--lib"]
    code, output = run(command, source / "tools", 300)
    if code == 0:
        return None
    if "error: could not compile" in output or "error[" in output:
        raise SystemExit(f"mutants: a mutant does not compile:\n{output[-3000:]}")
    names = re.findall(r"^    (\S+)$", output, re.MULTILINE)
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - 1} more" if len(unique) > 1 else ""
    return (unique[0] if unique else "tests: " + ("time limit" if code == 124 else "abort")) + more


def simulate(source: Path) -> str | None:
    """Runs the simulator; returns the seed that failed, if one did."""
    build = ["cargo", "build", "--quiet", "--release", "-p", "rds_sim"]
    code, output = run(build, source / "tools", 600)
    if code != 0:
        raise SystemExit(f"mutants: the simulator does not compile:\n{output[-3000:]}")
    binary = str(WORK / "target" / "release" / "rds-sim")
    code, output = run([binary, "--seeds", f"0..{SEEDS}", "--steps", str(STEPS)], source, 300)
    if code == 0:
        return None
    seed = re.search(r"^seed (\d+) failed", output, re.MULTILINE)
    return f"seed {seed[1]}" if seed else "time limit"


def misplaced() -> list[str]:
    """The mutants that the source has moved away from."""
    return [
        f"{m.name}: its text occurs {count} times in {m.file}"
        for m in MUTANTS
        if (count := (ROOT / "drivers/rrds/proto" / m.file).read_text().count(m.before)) != 1
    ]


def main() -> int:
    """Runs all mutants, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="list the mutants and what they break")
    parser.add_argument("--both", action="store_true", help="run the simulator in any case")
    parser.add_argument("names", nargs="*", help="mutants to run; all if none is named")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.names or m.name in options.names]
    if options.list:
        for m in chosen:
            print(f"{m.name:24} {m.file:22} {m.bug}")
        return 0
    if wrong := misplaced():
        print("mutants: " + "\nmutants: ".join(wrong))
        return 1
    source = WORK / "source"
    shutil.rmtree(source, ignore_errors=True)
    copy_source(source)
    if found := tests(source) or simulate(source):
        print(f"mutants: the source fails without a mutant: {found}")
        return 1
    missed = 0
    for m in chosen:
        started = time.monotonic()
        path = source / "drivers/rrds/proto" / m.file
        original = path.read_text()
        path.write_text(original.replace(m.before, m.after))
        by_test = tests(source)
        by_sim = simulate(source) if options.both or not by_test else "not asked"
        path.write_text(original)
        caught = bool(by_test or by_sim)
        missed += not caught
        print(
            f"{'caught' if caught else 'MISSED'}  {m.name:22} {m.bug}\n"
            f"        test: {by_test or '-'}; simulator: {by_sim or '-'} "
            f"({time.monotonic() - started:.0f} s)",
            flush=True,
        )
    print(f"mutants: {len(chosen)} bugs, {len(chosen) - missed} caught, {missed} missed")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
