# SPDX-License-Identifier: GPL-2.0
"""The cables: connected datagram sockets, inherited by the QEMU processes.

A socket pair has no name that could be left behind or taken twice, needs no network, and blocks the
sender while the receiver's queue is full: nothing is lost except where a test asks for loss. Two
nodes are joined directly; more than two through a QEMU process that is only a hub.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from .topology import Link

# Holds a few hundred frames of 9000 bytes; the queue's own length (net.unix.max_dgram_qlen) is the
# tighter bound.
BUFFER = 4 << 20


def pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return ends


@dataclass
class Wires:
    """Every node's ends, and every hub's, until they are handed over."""

    ends: dict[tuple[str, int], socket.socket] = field(default_factory=dict)
    hubs: dict[int, list[socket.socket]] = field(default_factory=dict)

    def of(self, node: str, links: Iterable[int]) -> tuple[socket.socket, ...]:
        return tuple(self.ends[node, link] for link in links)

    def close(self) -> None:
        """Close our copies: an end lives as long as the process that inherited it."""
        for end in self.ends.values():
            end.close()
        for ends in self.hubs.values():
            for end in ends:
                end.close()


def lay(links: Iterable[Link]) -> Wires:
    wires = Wires()
    for link in links:
        if len(link.nodes) == 2:
            first, second = pair()
            wires.ends[link.nodes[0], link.index] = first
            wires.ends[link.nodes[1], link.index] = second
            continue
        for node in link.nodes:
            ours, hub = pair()
            wires.ends[node, link.index] = ours
            wires.hubs.setdefault(link.index, []).append(hub)
    return wires
