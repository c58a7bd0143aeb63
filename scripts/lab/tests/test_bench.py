# SPDX-License-Identifier: GPL-2.0
"""What is made of the bench's measurements."""

import tempfile
import unittest
from pathlib import Path

from lab import bench, insns, topology
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


SYMBOLS = """\
ffffffff81000000 T memcpy
ffffffff81000100 t halt
ffffffffc0000000 t transmit\t[rrds]
ffffffffc0000800 d table\t[rrds]
"""


class Profiles(unittest.TestCase):
    def test_counts_are_of_one_message(self) -> None:
        counted = '{"counted": "rate-64-d16-s1", "family": 27, "messages": 10}\n'
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.insns.000").write_text(
                "ffffffffc0000010 5 20 0\nffffffffc0000900 1 10 0\nffffffff81000004 1 640 1\n"
                "401000 3 10 0\n"
            )
            files = insns.files(Path(folder), "a")
            (profile,) = bench.profiles(counted + SYMBOLS, files)
            with self.assertRaises(LabError):
                bench.profiles(SYMBOLS, files)
        self.assertEqual(
            (profile.row, profile.name, profile.own()), ("rate-64-d16-s1", "rrds", 110)
        )
        got = profile.json()
        self.assertEqual(got["owners"], {"rrds": 11, "program": 3})
        self.assertEqual((got["instructions"], got["string_repetitions"]), (14, 64))

    def test_what_is_no_count_is_an_error(self) -> None:
        symbols = insns.Symbols(SYMBOLS.splitlines())
        for text in ("ffffffff81000004 1 640\n", "x 1 1 0\n", "0 0 1 0\n"):
            with self.subTest(text), self.assertRaises(LabError):
                insns.parse(text, symbols)


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
