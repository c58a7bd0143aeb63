# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 8

over() {
	logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* failed'
}

# play ADDRESS: a game against ourselves.
play() {
	mark
	load rdma_pingpong "peer=$1" "rounds=$ROUNDS" timeout=60000 ack_timeout=18 || return 1
	within 120 over
	diag "$(klog | grep rdma_pingpong)"
	unload rdma_pingpong
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)

check "client and server are one module" play $(((10 << 24) + (9 << 16) + 2))
check "all data is intact" logged "1 games with $((21 * ROUNDS)) round trips, all data intact"
check "the game was served" logged 'rdma_pingpong: 1 games served'
mark
check "a largest size of zero is refused" eval '! load rdma_pingpong max_size=0'
check "with the reason" logged 'rdma_pingpong: max_size must be'
check "a second one cannot listen on the port" eval 'load rdma_pingpong && ! load rdma_pingpong && unload rdma_pingpong'
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
check "krdma unloads" unload krdma
