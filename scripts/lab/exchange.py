# SPDX-License-Identifier: GPL-2.0
"""What the nodes of one test tell each other through the runner: barriers, and values by key.

Pure bookkeeping: lines in, lines out, so that it can be tested without a node. A node that ends, in
whatever way, never leaves another one waiting.

From a node:                          Answer:
    barrier NAME                          ok, when all nodes have come; no REASON
    publish KEY VALUE...                  ok; no REASON when the key is taken
    lookup KEY                            ok VALUE..., when someone has published it; no REASON
    reset WORDS...                        ok; it will boot again, and get the words then
    done STATUS                           ok, when all nodes are done: then it may switch itself off
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Send = Callable[[str, str], None]


class Exchange:
    def __init__(self, nodes: Iterable[str], send: Send) -> None:
        self._send = send
        self._present = list(nodes)
        self._gone: dict[str, str] = {}
        self._barriers: dict[str, set[str]] = {}
        self._values: dict[str, str] = {}
        self._lookups: dict[str, list[str]] = {}
        self._resets: dict[str, str] = {}
        self.status: dict[str, int] = {}

    def line(self, node: str, text: str) -> None:
        """A node's request. A request that makes no sense gets an answer too: nobody may hang."""
        verb, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        if verb == "barrier" and rest:
            self._barrier(node, rest)
        elif verb == "publish" and rest:
            key, _, value = rest.partition(" ")
            self._publish(node, key, value)
        elif verb == "lookup" and rest:
            self._lookup(node, rest)
        elif verb == "reset":
            self._resets[node] = rest
            self._send(node, "ok")
        elif verb == "done" and rest.isdigit():
            self._done(node, int(rest))
        else:
            self._send(node, f"no the runner does not understand {text.strip()!r}")

    def gone(self, node: str, why: str) -> None:
        """A node is off, or has finished: it will come to no barrier and publish nothing any more."""
        if node in self._gone:
            return
        self._gone[node] = why
        for name, came in list(self._barriers.items()):
            if node not in came:
                for waiting in sorted(came):
                    self._send(waiting, f"no node {node} {why} before barrier {name}")
                del self._barriers[name]
        self._check_lookups()
        self._release_when_all_done()

    def booted_again(self, node: str) -> str | None:
        """The words of a node that announced this; nothing of one that did not."""
        return self._resets.pop(node, None)

    def _barrier(self, node: str, name: str) -> None:
        if self._gone:
            other, why = next(iter(self._gone.items()))
            self._send(node, f"no node {other} {why} before barrier {name}")
            return
        came = self._barriers.setdefault(name, set())
        came.add(node)
        if len(came) == len(self._present):
            del self._barriers[name]
            for each in self._present:
                self._send(each, "ok")
            return
        self._check_lookups()

    def _publish(self, node: str, key: str, value: str) -> None:
        if key in self._values:
            self._send(node, f"no {key} is published already")
            return
        self._values[key] = value
        self._send(node, "ok")
        for waiting in self._lookups.pop(key, []):
            self._send(waiting, f"ok {value}")

    def _lookup(self, node: str, key: str) -> None:
        if key in self._values:
            self._send(node, f"ok {self._values[key]}")
            return
        self._lookups.setdefault(key, []).append(node)
        self._check_lookups()

    def _check_lookups(self) -> None:
        """Refuse all lookups when whoever could still publish is gone, or waits for something
        itself.
        """
        stuck = set(self._gone).union(*self._barriers.values(), *self._lookups.values())
        if stuck.issuperset(self._present):
            for key, waiting in self._lookups.items():
                for name in waiting:
                    self._send(name, f"no nobody is left to publish {key}")
            self._lookups.clear()

    def _done(self, node: str, status: int) -> None:
        self.status[node] = status
        self.gone(node, "has finished")

    def _release_when_all_done(self) -> None:
        if len(self._gone) == len(self._present):
            for name in self.status:
                self._send(name, "ok")
