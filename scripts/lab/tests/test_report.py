# SPDX-License-Identifier: GPL-2.0
"""The bench's tables, its page, and what it keeps for later."""

import json
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from lab import insns, measured, page, plots, report
from lab.env import LabError
from lab.profiles import Counted, Profile

OUTPUT = "".join(
    json.dumps({"row": row, "family": family, "value": value, "packets": packets}) + "\n"
    for row, family, value, packets in (
        ("rtt-64-p50", 21, 110.0, 2.2),
        ("rtt-64-p50", 27, 100.0, 2.1),
        ("rtt-64-p50", "nagle", 26.4, 1.0),
        ("lo-flow-1M", 21, 200.0, 0),
        ("lo-flow-1M", 27, 3000.0, 0),
    )
)


def profile(name: str, strings: int) -> Profile:
    owners = {("rrds", "a"): 30, ("rds", "b"): 50, ("kernel", "c"): 100, ("rdma_rxe", "d"): 20}
    return Profile("rtt-64", name, 10, insns.Count(owners, strings))


def run(output: str = OUTPUT) -> report.Run:
    about = {"commit": "1234 <dirty>", "settings": {"ROUNDS": "1", "ONLY": ""}}
    counts = [profile("c", 400), profile("rrds", 100), profile("tcp", 0)]
    return report.Run(about, measured.rows(output), counts)


def earlier(ratio: float, name: str = "20260101T000000-0") -> report.Earlier:
    entry = {"row": "rtt-64-p50", "ratio": {"median": ratio}}
    return report.Earlier(name, {"rows": [entry, {"row": "cold", "ratio": None}]})


class Tables(unittest.TestCase):
    def test_each_row_has_its_ratio_and_the_one_before(self) -> None:
        title, columns, lines = report.tables(run(), [earlier(0.5), earlier(0.75, "2")])[0]
        self.assertIn("ratio", title)
        cells = dict(zip(columns, lines[0], strict=True))
        self.assertEqual((cells["C"], cells["rrds"]), ("110", "100"))
        self.assertEqual((cells["ratio"], cells["before"]), ("1.10", "0.75"))
        cells = dict(zip(columns, lines[1], strict=True))
        self.assertEqual((cells["rrds"], cells["ratio"], cells["before"]), ("3,000", "15.00", ""))

    def test_both_ratios_of_instructions_are_shown(self) -> None:
        found = {title: lines for title, _, lines in report.tables(run(), [])}
        (line,) = next(lines for title, lines in found.items() if "string" in title)
        self.assertEqual(line[1:7], ("60", "30", "2.00", "20", "20", "1.00"))
        self.assertEqual(line[7:], ("40", "10"))
        (line,) = next(lines for title, lines in found.items() if "own" in title)
        self.assertEqual(line, ("rtt-64", "5", "3", "20"))

    def test_other_sockets_and_packets(self) -> None:
        found = {title: (columns, lines) for title, columns, lines in report.tables(run(), [])}
        columns, (line,) = next(found[title] for title in found if "Beside" in title)
        self.assertEqual(dict(zip(columns, line, strict=True))["Nagle"], "26.4")
        columns, lines = next(found[title] for title in found if "Packets" in title)
        self.assertEqual(columns, ("", "C", "rrds", "Nagle"))
        self.assertEqual(lines, [("rtt-64-p50", "2.2", "2.1", "1"), ("lo-flow-1M", "0", "0", "")])

    def test_what_was_not_measured_has_no_table(self) -> None:
        bare = report.Run({}, run().rows, [])
        titles = [title for title, _, _ in report.tables(bare, [])]
        self.assertEqual(len(titles), 3)


class Kept(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_what_is_kept_is_found_again(self) -> None:
        result = report.save(run(), self.folder, "20260102T000000-1")
        report.save(run(), self.folder, "20260101T000000-0")
        found = report.earlier_runs(self.folder / "runs")
        self.assertEqual([entry.name[:8] for entry in found], ["20260101", "20260102"])
        self.assertEqual(found[0].ratio("rtt-64-p50"), 1.1)
        self.assertIsNone(found[0].ratio("cold"))
        # All functions are in the file of the last run only.
        self.assertIn("functions", result.read_text())
        kept = (self.folder / "runs" / "20260102T000000-1.json").read_text()
        self.assertNotIn("functions", kept)

    def test_another_file_among_them_is_an_error(self) -> None:
        for text in ("no JSON", "[]", '{"rows": [{}]}'):
            (self.folder / "x.json").write_text(text)
            with self.subTest(text), self.assertRaises(LabError):
                report.earlier_runs(self.folder)

    def test_nothing_is_kept_at_first(self) -> None:
        self.assertEqual(report.earlier_runs(self.folder / "runs"), [])


class Words(HTMLParser):
    """The text of a page, and whether each element ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


class Page(unittest.TestCase):
    def test_all_of_it_is_there(self) -> None:
        text = page.page(run(), [earlier(0.5), earlier(0.75, "2")])
        got = Words(text)
        self.assertEqual(got.open, [])
        for word in (
            "1234 <dirty>",
            "ROUNDS 1",
            "round trip of 64 B, 50 %",
            "0.75",
            "0.50",
            "1.10",
        ):
            self.assertIn(word, got.words)
        # Nothing is fetched.
        self.assertNotIn("src=", text)
        self.assertNotIn("href=", text)

    def test_without_earlier_runs_and_counts(self) -> None:
        bare = report.Run({"commit": "1"}, run().rows, [])
        text = page.page(bare, [])
        self.assertNotIn("earlier runs", text)
        self.assertEqual(Words(text).open, [])


class Plots(unittest.TestCase):
    def drawn(self, text: str, tag: str) -> list[ElementTree.Element]:
        return list(ElementTree.fromstring(text).iter(tag))

    def test_a_bar_says_on_which_side_of_one_a_ratio_is(self) -> None:
        rows = run(
            OUTPUT.replace('"family": 27, "value": 100.0', '"family": 27, "value": 220.0')
        ).rows
        worse, better = self.drawn(plots.ratios(rows), "rect")
        self.assertEqual((worse.get("class"), better.get("class")), ("worse", "better"))
        end = float(worse.get("x", 0)) + float(worse.get("width", 0))
        self.assertAlmostEqual(end, float(better.get("x", 0)), 0)
        self.assertEqual(plots.ratios([]), "")

    def test_parts_add_up(self) -> None:
        for name, own, strings in (("c", 5, 40), ("rrds", 3, 10)):
            got = plots.parts(profile(name, strings * 10))
            self.assertEqual((got["own"], got["strings"]), (own, strings))
            self.assertEqual(sum(got.values()), profile(name, strings * 10).all)
        both = Counted("x", {"rrds": profile("rrds", 100), "c": profile("c", 400)})
        bars = self.drawn(plots.instructions(both), "rect")
        lengths = [0.0, 0.0]
        for bar in bars:
            lengths[float(bar.get("y", 0)) > plots.LINE] += float(bar.get("width", 0))
        # C is first.
        self.assertAlmostEqual(lengths[0] / lengths[1], 2, 1)

    def test_a_history_ends_with_the_newest(self) -> None:
        text = plots.history([1.0, 2.0, 0.5])
        (line,) = self.drawn(text, "polyline")
        (dot,) = self.drawn(text, "circle")
        self.assertEqual(line.get("points", "").split()[-1], f"{dot.get('cx')},{dot.get('cy')}")
        heights = [float(point.split(",")[1]) for point in line.get("points", "").split()]
        self.assertEqual(heights.index(min(heights)), 1)


if __name__ == "__main__":
    unittest.main()
