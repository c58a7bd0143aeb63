# SPDX-License-Identifier: GPL-2.0
"""Boots QEMU nodes on the stock kernel and runs tests on them."""
