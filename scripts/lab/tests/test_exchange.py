# SPDX-License-Identifier: GPL-2.0
"""Barriers and values between nodes: everyone gets an answer, whatever the others do."""

import unittest

from lab.exchange import Exchange


class ExchangeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.exchange = Exchange(["a", "b", "c"], lambda node, text: self.sent.append((node, text)))

    def say(self, node: str, text: str) -> None:
        self.exchange.line(node, text)

    def answers(self, node: str) -> list[str]:
        return [text for name, text in self.sent if name == node]

    def test_a_barrier_waits_for_all(self) -> None:
        self.say("a", "barrier up")
        self.say("b", "barrier up")
        self.assertEqual(self.sent, [])
        self.say("c", "barrier up")
        self.assertEqual(sorted(self.sent), [("a", "ok"), ("b", "ok"), ("c", "ok")])

    def test_a_barrier_can_be_used_again(self) -> None:
        for _ in range(2):
            for node in "abc":
                self.say(node, "barrier up")
        self.assertEqual(len(self.sent), 6)

    def test_a_dead_node_ends_a_barrier(self) -> None:
        self.say("a", "barrier up")
        self.exchange.gone("b", "died")
        self.assertEqual(self.answers("a"), ["no node b died before barrier up"])

    def test_a_barrier_after_a_death_is_refused(self) -> None:
        self.exchange.gone("b", "died")
        self.say("a", "barrier up")
        self.assertEqual(self.answers("a"), ["no node b died before barrier up"])

    def test_a_finished_node_comes_to_no_barrier(self) -> None:
        self.say("a", "done 0")
        self.say("b", "barrier up")
        self.assertEqual(self.answers("b"), ["no node a has finished before barrier up"])

    def test_a_value_is_found_later(self) -> None:
        self.say("a", "publish addr 10.0.0.1 18634")
        self.say("b", "lookup addr")
        self.assertEqual(self.sent, [("a", "ok"), ("b", "ok 10.0.0.1 18634")])

    def test_a_lookup_waits_for_the_value(self) -> None:
        self.say("b", "lookup addr")
        self.say("c", "lookup addr")
        self.assertEqual(self.sent, [])
        self.say("a", "publish addr x")
        self.assertEqual(self.sent, [("a", "ok"), ("b", "ok x"), ("c", "ok x")])

    def test_the_words_of_a_reset_are_given_once(self) -> None:
        self.say("a", "reset 5 2 0 round 3")
        self.assertEqual(self.sent, [("a", "ok")])
        self.assertIsNone(self.exchange.booted_again("b"))
        self.assertEqual(self.exchange.booted_again("a"), "5 2 0 round 3")
        self.assertIsNone(self.exchange.booted_again("a"))

    def test_a_key_is_published_once(self) -> None:
        self.say("a", "publish k 1")
        self.say("b", "publish k 2")
        self.assertEqual(self.answers("b"), ["no k is published already"])

    def test_a_lookup_that_nobody_can_answer_is_refused(self) -> None:
        self.say("a", "lookup k")
        self.exchange.gone("b", "died")
        self.assertEqual(self.sent, [])
        self.exchange.gone("c", "died")
        self.assertEqual(self.answers("a"), ["no nobody is left to publish k"])

    def test_all_waiting_for_each_other_are_released(self) -> None:
        self.say("a", "lookup k")
        self.say("b", "lookup l")
        self.say("c", "barrier up")
        self.assertEqual(self.answers("a"), ["no nobody is left to publish k"])
        self.assertEqual(self.answers("b"), ["no nobody is left to publish l"])

    def test_nodes_switch_off_together(self) -> None:
        self.say("a", "done 0")
        self.say("b", "done 3")
        self.assertEqual(self.sent, [])
        self.exchange.gone("c", "died")
        self.assertEqual(sorted(self.sent), [("a", "ok"), ("b", "ok")])
        self.assertEqual(self.exchange.status, {"a": 0, "b": 3})

    def test_nonsense_is_answered(self) -> None:
        for text in ("", "barrier", "dance", "done soon"):
            self.say("a", text)
        self.assertEqual(len(self.answers("a")), 4)
        self.assertTrue(all(text.startswith("no ") for text in self.answers("a")))


if __name__ == "__main__":
    unittest.main()
