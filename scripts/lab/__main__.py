# SPDX-License-Identifier: GPL-2.0
"""python3 -m lab demo|bench|test|soak|run|engine: see Documentation/testing.rst."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from . import bench, demo, engine, suite
from .env import LabError, from_environ


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m lab", description="boots nodes and runs tests on them"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="build, boot three nodes, show what the modules do")
    commands.add_parser("bench", help="measure rrds beside the C implementation")
    test = commands.add_parser("test", help="all checks and tests, in order")
    soak = commands.add_parser("soak", help="the node tests with their large numbers")
    for command in (test, soak):
        command.add_argument(
            "names", nargs="*", help="only node tests whose name matches one of these globs"
        )
    run = commands.add_parser("run", help="run node tests from their .toml files")
    run.add_argument("tests", nargs="+", type=Path, metavar="TEST.toml")
    run.add_argument("--soak", action="store_true", help="with their large numbers")
    work = commands.add_parser("engine", help="the protocol engine's own programs, at length")
    work.add_argument("work", choices=engine.NAMES)
    return parser


def main() -> int:
    chosen = arguments().parse_args()
    try:
        env = from_environ()
        env.check()
        if chosen.command == "demo":
            return demo.main(env)
        if chosen.command == "bench":
            return bench.main(env)
        if chosen.command == "test":
            return suite.main(env, chosen.names)
        if chosen.command == "soak":
            return suite.soak(env, chosen.names)
        if chosen.command == "engine":
            return engine.main(env, chosen.work)
        return asyncio.run(suite.run_files(env, chosen.tests, soak=chosen.soak))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
