# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The table says what the specification does; that holds for rrds without exceptions. It says the same
# of the C implementation, see abi_c.

plan 11

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
ip addr add fd00:9::1/64 dev v0 nodad || die "no IPv6 address"
rxe_add rxe0 v0 || die "no rxe0"

# table FAMILY OPTION...: every call, for the sockets of this number.
table() {
	/lab/bin/rds-abi --family "$@" --local 10.9.0.1 --local6 fd00:9::1
}

modprobe rds_rdma || die "no rds_rdma"
check "krdma loads" load krdma
mark
check_not "rrds does not load with a number that is taken" load rrds
check "it says who has it" logged "rrds: address family 21 is taken"
check "it loads with another one, and other ports" load rrds family=27 port=18700 port6=16400
check "every call gives what the table says" table 27
diag "$(tail -n 1 "$CHECK_OUT")"
check "there are many" [ "$(sed -n 's/^rows \([0-9]*\),.*/\1/p' "$CHECK_OUT")" -ge 300 ]
check "rrds unloads at once" unload rrds

rmmod rds_rdma
rmmod rds
check "alone it loads with the usual number" load rrds
prefer_loopback 1
check "every call gives what the table says where messages stay in the node" table 21
diag "$(tail -n 1 "$CHECK_OUT")"
unload rrds || die "rrds stays"
check "it loads with TCP" load rrds tcp=1
check "so does every call over TCP" table 21 --tcp
diag "$(tail -n 1 "$CHECK_OUT")"
