# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two devices of one node: from rxe1 rxe0 is asked, and a group is sent to whose members are on rxe1.

plan 14

FIRST=0x0a090001
SECOND=0x0a090002
GROUP=0xef010203

# traffic COUNT [MEMBERS]
traffic() {
	load rdma_ud "local=$SECOND" "peer=$FIRST" "group=$GROUP" "members=${2:-3}" "count=$1" "burst=$1"
}

# flowing: datagrams of both kinds have come.
flowing() {
	logged "of the group" && [ "$(logged_times 'members of')" -ge 1 ]
}

# under_traffic N: load, let it flow for a while that differs each time, unload.
under_traffic() {
	local i=0

	while [ "$i" -lt "$1" ]; do
		traffic 1000000 || return 1
		usleep $((i * 37000 % 500000))
		unload rdma_ud || return 1
		i=$((i + 1))
	done
}

# devices_go N: the device that is asked, or that which asks, goes under traffic, and comes back.
devices_go() {
	local i=0 dev

	while [ "$i" -lt "$1" ]; do
		dev=$((i % 2))
		traffic 1000000 || return 1
		usleep $((i * 53000 % 700000))
		rxe_del "rxe$dev" || return 1
		unload rdma_ud || return 1
		rxe_add "rxe$dev" "v$dev" || return 1
		i=$((i + 1))
	done
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
stock_needs rdma_ud || die "the stock modules do not load"
before=$(rdma_resources)
load krdma || die "krdma does not load"

mark
check "rdma_ud loads" traffic 100 3
check "all questions are answered" within 30 logged "rdma_ud: all 100 questions answered"
check "the burst is sent" within 30 logged "rdma_ud: 100 datagrams sent to the group"
check "three members get all of it" within 30 eval \
	"[ \$(logged_times 'queue pair [0-9]*: 100 of the group') = 3 ]"
ip link set v0 down
check "that a port fails is told" within 10 logged "rdma_ud: rxe0: event: Port(1, Error)"
ip link set v0 up
ip route replace 10.9.0.2/32 dev v0
ip neigh replace 10.9.0.2 lladdr "$(cat /sys/class/net/v1/address)" dev v0 nud permanent
check "that it is back is told" within 10 logged "rdma_ud: rxe0: event: Port(1, Active)"
check "rdma_ud unloads" unload rdma_ud
check_eq "each member got each once" \
	"$(logged_times 'member [0-9]: 100 of the group, 0 repeated, 0 damaged, 0 others')" 3
check "what came with a wrong key was not delivered" \
	logged "rxe0: 100 wrong keys, 100 questions, 0 answers, 0 astray, 0 damaged"

check "devices go under traffic, $CYCLES times" devices_go "$CYCLES"
under_traffic 5 || die "rdma_ud does not unload"
# Of few cycles most of what is seen is noise: over 10 000 connections it went up and down by 250 kB.
# shellcheck disable=SC2034 # for check_memory
KERNEL_NOISE=256
memory_mark
check "rdma_ud goes under traffic, $CYCLES times" under_traffic "$CYCLES"
check_memory "memory is as before" "$CYCLES" under_traffic "$CYCLES"
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$before"
check "krdma unloads" unload krdma
