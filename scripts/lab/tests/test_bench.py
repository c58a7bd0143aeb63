# SPDX-License-Identifier: GPL-2.0
"""What is made of the bench's measurements."""

import unittest
from pathlib import Path

from lab import bench, topology
from lab.env import LabError

TEST = Path(__file__).resolve().parents[3] / "tests" / "bench.toml"


def line(row: str, family: int, value: float) -> str:
    return f'{{"row": "{row}", "family": {family}, "value": {value}}}\n'


OUTPUT = (
    "ok 1 rounds\n"
    + line("rate-64-d16-s1", 21, 100)
    + line("rate-64-d16-s1", 27, 150)
    + line("rate-64-d16-s1", 27, 100)
    + line("rate-64-d16-s1", 21, 50)
    + line("rate-64-d16-s1", 0, 400)
    + line("cold", 27, 10)
    + line("cold", 21, 30)
)


class Rows(unittest.TestCase):
    def test_a_ratio_is_of_one_round(self) -> None:
        rate = bench.rows(OUTPUT)[0]
        self.assertEqual(rate.ratios, [1.5, 2.0])
        self.assertEqual(rate.json()["ratio"]["median"], 1.75)
        self.assertEqual(rate.json()["measured"]["verbs"]["median"], 400)

    def test_less_is_better_where_it_is(self) -> None:
        cold = bench.rows(OUTPUT)[1]
        self.assertEqual((cold.kind.more_is_better, cold.ratios), (False, [3.0]))

    def test_the_deviation_is_a_part_of_the_median(self) -> None:
        self.assertEqual(bench.deviation([100, 110, 90, 100, 500]), 0.1)

    def test_what_is_missing_is_an_error(self) -> None:
        for output in ("", line("cold", 21, 1), line("warm", 21, 1), '{"row": \n'):
            with self.subTest(output), self.assertRaises(LabError):
                bench.rows(output)


class Profiles(unittest.TestCase):
    def test_shares_are_of_the_busy_time(self) -> None:
        samples = {
            ("kernel", "pv_native_safe_halt"): 900,
            ("rrds", "_copy_to_iter"): 20,
            ("rrds", "transmit"): 30,
            ("rdma_rxe", "rxe_requester"): 50,
        }
        output = "".join(
            f'{{"profile": "x", "owner": "{owner}", "function": "{function}", "samples": {n}}}\n'
            for (owner, function), n in samples.items()
        )
        (profile,) = bench.profiles(output)
        shares = {"rdma_rxe": 0.5, "rrds": 0.3, "copying": 0.2}
        self.assertEqual(profile.shares(), shares)


class Settings(unittest.TestCase):
    def setUp(self) -> None:
        self.test = topology.load(TEST, soak=True)

    def test_the_environment_wins(self) -> None:
        environ = {"BENCH_ROUNDS": "3", "BENCH_ONLY": "rtt"}
        params = bench.configured(self.test, environ).params
        self.assertEqual((params["ROUNDS"], params["ONLY"]), ("3", "rtt"))

    def test_no_number_is_an_error(self) -> None:
        for value in ("0", "many", "-1"):
            with self.subTest(value), self.assertRaises(LabError):
                bench.configured(self.test, {"BENCH_ROUNDS": value})


if __name__ == "__main__":
    unittest.main()
