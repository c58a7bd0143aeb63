# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan $((5 + ROUNDS))
check "loopback interface" ip link set lo up
load krdma || die "no krdma"
check "rrds loads" load rrds
# What is made once, is made.
check "$SOCKETS sockets" /lab/bin/rds_many 21 127.0.0.1 "$SOCKETS"
memory_mark
for round in $(seq "$ROUNDS"); do
	check "round $round: $SOCKETS sockets" /lab/bin/rds_many 21 127.0.0.1 "$SOCKETS"
done
check_memory "nothing is left of them" "$ROUNDS"
check "rrds unloads" unload rrds
