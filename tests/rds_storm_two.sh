# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# As rds_storm.sh, over the network: each node storms against the other one.

plan $((3 * ROUNDS + 1))
rxe_up || die "no rxe"
load krdma || die "no krdma"
before=$(rdma_resources)
for round in $(seq "$ROUNDS"); do
	load rrds || die "rrds does not load"
	barrier "storm $round"
	check "round $round: eight threads" /lab/bin/rds_storm 21 8 "$TIME" "$(addr4 "$NODE")" "$(addr4 "$(peers)")"
	diag "$(tail -n 1 "$CHECK_OUT")"
	check "round $round: rrds unloads soon" within 20 unload rrds
	check "round $round: the device holds what it did" within 20 rdma_resources_are "$before"
	barrier "calm $round"
done
check "krdma unloads" unload krdma
