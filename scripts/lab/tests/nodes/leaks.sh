# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
plan 2
# An address is an object of some hundred bytes, with what hangs on it.
addresses() {
	local at="$1"
	while [ "$at" -lt "$2" ]; do
		echo "addr add 10.77.$((at / 250)).$((at % 250 + 1))/32 dev lo"
		at=$((at + 1))
	done | ip -batch -
}
addresses 0 20
memory_mark
memory_grown 100 && die "memory grew though nothing happened"
ok "doing nothing leaves nothing"
addresses 20 520
check_memory "500 addresses are noticed" 100
