# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Both ends lose one packet in a hundred. A message of 64 KiB has 16 or 64 packets, so that both together
# lose none in one of some ten thousand runs.

if [ "$NODE" = a ]; then
	plan 4
else
	plan 2
fi

over() {
	logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* failed'
}

rxe_up || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)
mark
if [ "$NODE" = a ]; then
	barrier listening
	load rdma_pingpong "peer=$(number4 b)" "rounds=$ROUNDS" max_size=65536 timeout=60000 || die "the module does not load"
	within 300 over
	diag "$(klog | grep rdma_pingpong)"
	check "all data is intact" logged "1 games with $((17 * ROUNDS)) round trips, all data intact"
	barrier played
	check "the module unloads" unload rdma_pingpong
else
	load rdma_pingpong timeout=60000 || die "the module does not load"
	barrier listening
	barrier played
	check "the module unloads" unload rdma_pingpong
fi
dropped=$(netem_dropped 0)
diag "$dropped packets dropped here"
if [ "$NODE" = a ]; then
	lookup dropped
	check "packets were lost" [ $((dropped + REPLY)) -ge 1 ]
else
	publish dropped "$dropped"
fi
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
barrier end
