# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan $((3 + 2 * ROUNDS))
check "loopback interface" ip link set lo up
check "krdma loads" load krdma
for round in $(seq "$ROUNDS"); do
	load rrds || die "rrds does not load"
	check "round $round: eight threads" /lab/bin/rds_storm 21 8 "$TIME"
	diag "$(tail -n 1 "$CHECK_OUT")"
	check "round $round: rrds unloads at once" unload rrds
done
check "so does krdma" unload krdma
