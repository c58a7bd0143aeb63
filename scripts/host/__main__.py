# SPDX-License-Identifier: GPL-2.0
"""python3 -m host: see cli.py."""

import sys

from host.cli import main

sys.exit(main(sys.argv[1:]))
