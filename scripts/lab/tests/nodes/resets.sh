# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a asks for its resets, node b does not.
if [ "$BOOT" = 0 ]; then
	plan 3
	ok "before"
	[ "$NODE" = a ] || echo b >/proc/sysrq-trigger
	reset_node first "two words"
fi
if [ "$BOOT" = 1 ]; then
	check_eq "the words of the first boot" "$WORDS" "first two words"
	reset_node second
fi
check_eq "the words of the second boot" "$BOOT $WORDS" "2 second"
