# SPDX-License-Identifier: GPL-2.0
"""The host side: fills the cache (build root, stock kernel, kernel source) and enters the root.

Standard library only, Python 3.10 or newer: it runs on whatever machine the user has.
"""
