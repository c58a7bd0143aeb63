# SPDX-License-Identifier: GPL-2.0
"""The static checks of the project: what can be said of the sources without booting a node."""
