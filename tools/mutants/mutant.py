# SPDX-License-Identifier: GPL-2.0
"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One bug: in the function `where`, the code `before`, which is there once, becomes `after`.

    How the function is named, and what counts as the same code, is said in anchor.py.
    """

    name: str
    bug: str
    where: str
    before: str
    after: str
