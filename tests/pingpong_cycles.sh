# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Each cycle makes a protection domain, a completion queue and a queue pair on both sides, connects
# them, sends seven messages each way, and takes all of that down.

plan 5

over() {
	logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* failed'
}

# play N
play() {
	mark
	load rdma_pingpong "peer=$(((10 << 24) + (9 << 16) + 2))" "cycles=$1" rounds=1 max_size=64 \
		timeout=60000 ack_timeout=18 || return 1
	within 7000 over
	unload rdma_pingpong && logged "$1 games with $(($1 * 7)) round trips, all data intact"
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)
check "20 cycles to warm up" play 20
# The connection manager keeps a number for some seconds after its connection.
sleep 5
memory_mark
# The growth after each part tells one that goes on from one that ends.
parts() {
	local part=0

	while [ "$part" -lt "$PARTS" ]; do
		play $((CYCLES / PARTS)) || return 1
		part=$((part + 1))
		diag "$(klog | grep 'all data intact')" >&5
		memory_tells || continue
		sleep 5
		memory_grown 0
		diag "$((part * CYCLES / PARTS)) cycles: kernel memory $GROWN_KERNEL kB more," \
			"all memory $GROWN_USED kB more; slabs in kB:$(slabs_grown)" >&5
	done
}

# again N: as before, until the numbers are given back.
again() {
	play "$1" && sleep 5
}

exec 5>&1
check "$CYCLES cycles" parts
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
sleep 5
check_memory "memory is as before" "$CYCLES" again "$CYCLES"
check "krdma unloads" unload krdma
