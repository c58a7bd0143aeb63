# SPDX-License-Identifier: GPL-2.0
"""What is made of the bench's measurements."""

import json
import tempfile
import unittest
from pathlib import Path

from lab import bench, insns, measured, profiles, topology
from lab.env import LabError

TEST = Path(__file__).resolve().parents[3] / "tests" / "bench.toml"


def line(row: str, family: int | str, value: float, packets: float | None = None) -> str:
    entry = {"row": row, "family": family, "value": value}
    return json.dumps(entry | ({} if packets is None else {"packets": packets})) + "\n"


OUTPUT = (
    "ok 1 rounds\n"
    + line("rate-64-d16-s1", 21, 100, 1.0)
    + line("rate-64-d16-s1", 27, 150, 1.5)
    + line("rate-64-d16-s1", 27, 100, 2.5)
    + line("rate-64-d16-s1", 21, 50)
    + line("rate-64-d16-s1", 0, 400, 2)
    + line("rate-64-d16-s1", "tcp", 800)
    + line("cold", 27, 10)
    + line("cold", 21, 30)
    + line("path-500", 27, 220)
)


class Rows(unittest.TestCase):
    def test_a_ratio_is_of_one_round(self) -> None:
        rate = measured.rows(OUTPUT)[0]
        self.assertEqual(rate.ratios, [1.5, 2.0])
        self.assertEqual(rate.json()["ratio"]["median"], 1.75)
        self.assertEqual(rate.json()["measured"]["verbs"]["median"], 400)

    def test_packets_are_those_of_an_implementation(self) -> None:
        rate = measured.rows(OUTPUT)[0].json()["measured"]
        self.assertEqual((rate["rrds"]["packets"], rate["verbs"]["packets"]), (2.0, 2))
        self.assertNotIn("packets", rate["tcp"])

    def test_less_is_better_where_it_is(self) -> None:
        cold = measured.rows(OUTPUT)[1]
        self.assertEqual((cold.kind.more_is_better, cold.ratios), (False, [3.0]))

    def test_some_rows_may_be_of_rrds_alone(self) -> None:
        path = measured.rows(OUTPUT)[2]
        self.assertEqual((path.values, path.ratios), ({"rrds": [220]}, []))
        self.assertIsNone(path.json()["ratio"])

    def test_the_deviation_is_a_part_of_the_median(self) -> None:
        self.assertEqual(measured.deviation([100, 110, 90, 100, 500]), 0.1)

    def test_what_is_missing_is_an_error(self) -> None:
        for output in (
            "",
            line("cold", 21, 1),
            line("cold", 27, 1),
            line("path-500", 21, 1),
            line("warm", 21, 1) + line("warm", 27, 1),
            '{"row": \n',
        ):
            with self.subTest(output), self.assertRaises(LabError):
                measured.rows(output)

    def test_every_row_of_the_program_is_known(self) -> None:
        program = TEST.parents[1] / "tools" / "bench" / "src" / "row.rs"
        for text in program.read_text().split("pub const ROWS")[1].split("];")[0].splitlines():
            if '"' in text:
                name = text.split('"')[1]
                if "rtt" in name or "hol" in name:
                    name += "-p50"
                with self.subTest(name):
                    measured.kind(name)


SYMBOLS = """\
ffffffff81000000 T memcpy
ffffffff81000100 t halt
ffffffffc0000000 t transmit\t[rrds]
ffffffffc0000800 d table\t[rrds]
"""
COUNTS = (
    "ffffffffc0000010 5 20 0\nffffffffc0000900 1 10 0\nffffffff81000004 1 640 1\n401000 3 10 0\n"
)


def counted(family: int | str, messages: int) -> str:
    return json.dumps({"counted": "rate-64-d16-s1", "family": family, "messages": messages}) + "\n"


class Profiles(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def profiles(self, *files: str, output: str) -> list[profiles.Profile]:
        for number, text in enumerate(files):
            (self.folder / f"a.insns.{number:03}").write_text(text)
        return profiles.profiles(output, insns.files(self.folder, "a"))

    def test_counts_are_of_one_message(self) -> None:
        (profile,) = self.profiles(COUNTS, output=counted(27, 10) + SYMBOLS)
        self.assertEqual((profile.row, profile.name, profile.own), ("rate-64-d16-s1", "rrds", 11))
        got = profile.json()
        self.assertEqual(got["owners"], {"rrds": 11, "program": 3})
        self.assertEqual((got["instructions"], got["string_repetitions"]), (14, 64))
        self.assertNotIn("functions", profile.json(functions=False))

    def test_there_are_two_ratios(self) -> None:
        found = self.profiles(
            COUNTS,
            COUNTS,
            COUNTS,
            output=counted(21, 5) + counted(27, 10) + counted("udp", 1) + SYMBOLS,
        )
        (row,) = profiles.by_row(found)
        self.assertEqual((row.ratio("all"), row.ratio("rest")), (2, 2))
        row.profiles["c"].count.repetitions = 0
        self.assertEqual((row.ratio("all"), row.ratio("rest")), (28 / 78, 2))
        del row.profiles["c"]
        self.assertIsNone(row.ratio("all"))
        self.assertEqual(row.profiles["udp"].own, 0)

    def test_a_file_without_a_line_is_an_error(self) -> None:
        with self.assertRaises(LabError):
            self.profiles(COUNTS, output=SYMBOLS)
        with self.assertRaises(LabError):
            self.profiles(COUNTS, output=counted(27, 10))

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

    def test_paths_of_c_take_memory(self) -> None:
        (before,) = bench.configured(self.test, {}).nodes
        (after,) = bench.configured(self.test, {"BENCH_C_PATHS": "100"}).nodes
        self.assertEqual(before, self.test.nodes[0])
        self.assertEqual(after.memory - before.memory, 100 * bench.PATH_MEMORY)

    def test_no_number_is_an_error(self) -> None:
        for value in ("0", "many", "-1"):
            with self.subTest(value), self.assertRaises(LabError):
                bench.configured(self.test, {"BENCH_ROUNDS": value})


if __name__ == "__main__":
    unittest.main()
