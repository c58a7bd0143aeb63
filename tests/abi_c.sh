# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The table says what the specification does. That the C implementation agrees shows that it is right.

plan 3

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
ip addr add fd00:9::1/64 dev v0 nodad || die "no IPv6 address"
rxe_add rxe0 v0 || die "no rxe0"
modprobe rds_rdma || die "no rds_rdma"

check "every call gives what the table says" /lab/bin/rds-abi --c --local 10.9.0.1 --local6 fd00:9::1
diag "$(tail -n 1 "$CHECK_OUT")"
check "there are many" [ "$(sed -n 's/^rows \([0-9]*\),.*/\1/p' "$CHECK_OUT")" -ge 300 ]

modprobe rds_tcp || die "no rds_tcp"
check "so does every call over TCP" /lab/bin/rds-abi --c --tcp --local 10.9.0.1
diag "$(tail -n 1 "$CHECK_OUT")"
