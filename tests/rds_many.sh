# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan $((5 + ROUNDS))

# many N: that many times.
many() {
	local round

	for round in $(seq "$1"); do
		/lab/bin/rds_many 21 127.0.0.1 "$SOCKETS" || return 1
	done
}

check "loopback interface" ip link set lo up
load krdma || die "no krdma"
check "rrds loads" load rrds
# What is made once, is made.
check "$SOCKETS sockets" many 1
memory_mark
for round in $(seq "$ROUNDS"); do
	check "round $round: $SOCKETS sockets" many 1
done
check_memory "nothing is left of them" "$ROUNDS" many "$ROUNDS"
check "rrds unloads" unload rrds
