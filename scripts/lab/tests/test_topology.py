# SPDX-License-Identifier: GPL-2.0
"""The .toml files: what they mean, and that mistakes are named."""

import tempfile
import unittest
from pathlib import Path

from lab import topology
from lab.topology import Test, TopologyError

TWO = """
description = "two"
[[node]]
name = "a"
[[node]]
name = "b"
memory = 256
"""


class Topology(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "t.toml"
        (Path(folder.name) / "t.sh").touch()

    def parse(self, text: str, *, soak: bool = False) -> Test:
        return topology.parse(text, self.path, soak=soak)

    def refused(self, text: str, words: str) -> None:
        with self.assertRaisesRegex(TopologyError, words):
            self.parse(text)

    def test_one_node_needs_no_more_than_a_description(self) -> None:
        test = self.parse('description = "one"')
        self.assertEqual([node.name for node in test.nodes], ["a"])
        self.assertEqual((test.nodes[0].cpus, test.nodes[0].nics), (2, ()))

    def test_addresses_follow_from_the_place(self) -> None:
        test = self.parse(TWO + "[[link]]\n[[link]]\nmtu = 1500\n")
        nic = test.nodes[1].nics[1]
        self.assertEqual((nic.name, nic.ipv4, nic.ipv6), ("eth1", "10.0.1.2", "fd00:0:0:1::2"))
        self.assertEqual((nic.mac, nic.link.mtu), ("52:54:00:01:00:02", 1500))
        self.assertEqual(test.links[0].nodes, ("a", "b"))

    def test_netem(self) -> None:
        test = self.parse(TWO + '[[link]]\nloss = 1.5\ndelay = "10ms 2ms"\nreorder = 5\n')
        self.assertEqual(test.links[0].netem, "loss 1.5% delay 10ms 2ms reorder 5%")

    def test_soak_values_replace_the_others(self) -> None:
        text = 'description = "x"\ntimeout = 9\n[params]\ncycles = 5\n[soak]\ncycles = 100\ntimeout = 99\n'
        short, long = self.parse(text), self.parse(text, soak=True)
        self.assertEqual((short.params, short.timeout), ({"CYCLES": "5"}, 9))
        self.assertEqual((long.params, long.timeout), ({"CYCLES": "100"}, 99))
        self.assertTrue(short.soak)

    def test_mistakes_are_named(self) -> None:
        self.refused("description = ", "t.toml: ")
        self.refused("timeout = 1", "description")
        self.refused('description = "x"\ntimout = 3', "unknown key timout")
        self.refused('description = "x"\ntimeout = "3"', "timeout is '3'")
        self.refused('description = "x"\ntimeout = -1', "more than 0")
        self.refused('description = "x"\n[[node]]\nname = "A b"', "no good name")
        self.refused('description = "x"\n[[node]]\nname = "a"\n[[node]]\nname = "a"', "one node")
        self.refused('description = "x"\n[[node]]\nscript = "none.sh"', "does not exist")
        self.refused('description = "x"\n[[node]]\ncpus = 0', "cpus 1 to 64")
        self.refused('description = "x"\n[[node]]\nicount = true', "one processor only")
        self.refused('description = "x"\n[node]\nname = "a"', "must be of type list")
        self.refused(TWO + '[[link]]\nnodes = ["a", "z"]', "no node is called 'z'")
        self.refused(TWO + '[[link]]\nnodes = ["a", "a"]', "two or more different")
        self.refused(TWO + "[[link]]\nmtu = 99999", "mtu is 99999")
        self.refused(TWO + "[[link]]\nloss = 101", "percentage")
        self.refused(TWO + "[[link]]\ndelay = 10", "unit")
        self.refused(TWO + "[[link]]\nreorder = 10", "needs a delay")
        self.refused(TWO + "[[link]]\nspeed = 10", "link 1: unknown key speed")

    def test_an_exception_needs_kind_match_and_reason(self) -> None:
        self.refused('description = "x"\n[[allow]]\nkind = "oops"\nmatch = "x"', "reason")
        self.refused(
            'description = "x"\n[[allow]]\nkind = "all"\nmatch = "x"\nreason = "y"', "a kind of"
        )
        test = self.parse(
            'description = "x"\n[[allow]]\nkind = "oops"\nmatch = "sysrq"\nreason = "on purpose"'
        )
        self.assertEqual(test.allowed[0].kind, "oops")


class Shipped(unittest.TestCase):
    def test_every_test_of_the_project_parses(self) -> None:
        folder = Path(__file__).resolve().parents[3] / "tests"
        paths = sorted(folder.glob("*.toml"))
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(path.name):
                topology.load(path)
                topology.load(path, soak=True)


if __name__ == "__main__":
    unittest.main()
