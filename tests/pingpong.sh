# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Each node is the server of the other one, one after the other.

if [ "$NODE" = a ]; then
	plan 9
else
	plan 7
fi
other=$(peers)

over() {
	logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* failed'
}

# serve [PARAMETER=VALUE...]: with patience for a peer that stands still for some seconds.
serve() {
	load rdma_pingpong timeout=60000 ack_timeout=18 "$@"
}

# play [PARAMETER=VALUE...]
play() {
	serve "peer=$(number4 "$other")" "rounds=$ROUNDS" "$@"
}

rxe_up || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)
mark
barrier up

if [ "$NODE" = a ]; then
	barrier listening
	check "the module loads" play
	check "the game ends" within 250 over
	diag "$(klog | grep rdma_pingpong)"
	check "all data is intact, 21 sizes" logged "1 games with $((21 * ROUNDS)) round trips, all data intact"
	barrier first
	barrier second
	check "what served the other one is gone, but for the listener" within 10 \
		rdma_resources_are "$(echo "$resources" | sed 's/cm_id 0/cm_id 1/')"
	check "the module unloads" unload rdma_pingpong
	check "one game was served" logged 'rdma_pingpong: 1 games served'
	check_not "nothing has failed" logged 'rdma_pingpong: .*failed'
else
	check "the module loads" serve
	barrier listening
	barrier first
	check "the module unloads" unload rdma_pingpong
	check "one game was served" logged 'rdma_pingpong: 1 games served'
	mark
	play max_size=100 tos=32 || die "the module does not load again"
	within 60 over
	check "sizes up to 64 of at most 100 bytes" logged "1 games with $((7 * ROUNDS)) round trips, all data intact"
	unload rdma_pingpong || die "the module does not unload"
	barrier second
	check_not "nothing has failed" logged 'rdma_pingpong: .*failed'
fi
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
check "krdma unloads" unload krdma
barrier end
