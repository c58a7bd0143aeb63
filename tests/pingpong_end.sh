# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# What goes, goes while messages are under way. Node a plays, node b serves.

if [ "$NODE" = a ]; then
	plan 13
else
	plan 7
fi

rxe_up || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)

# Long enough that it never ends by itself.
play() {
	load rdma_pingpong "peer=$(number4 b)" rounds=10000 max_size=4096 timeout=60000
}

playing() {
	rdma resource show qp | grep -q 'type RC state RTS'
}

# A game that is under way, or the end of the test.
play_or_die() {
	play || die "the module does not load"
	within 10 playing || die "no traffic"
}

failed() {
	logged 'rdma_pingpong: .*failed'
}

# Some of the rounds end in the middle of making the connection, the others under traffic.
rounds() {
	local i=0

	while [ "$i" -lt "$ROUNDS" ]; do
		play || return 1
		usleep $((i % 5 * 100000))
		unload rdma_pingpong || return 1
		i=$((i + 1))
	done
}

barrier up
if [ "$NODE" = a ]; then
	barrier serving
	check "$ROUNDS times rmmod of the client's module" rounds
	check "its resources are gone" within 20 rdma_resources_are "$resources"

	mark
	play_or_die
	barrier traffic
	check "the server's module goes: the client says so" within 60 failed
	diag "$(klog | grep failed)"
	unload rdma_pingpong
	barrier gone

	mark
	play
	check "nobody listens: the client says so" within 20 logged 'failed: Rejected(NoListener)'
	unload rdma_pingpong
	mark
	# No node has the address after the last one's.
	load rdma_pingpong "peer=$(($(number4 b) + 1))" timeout=3000
	check "nobody is there: the client says so" within 20 logged 'failed: Address('
	check "the module unloads" unload rdma_pingpong
	barrier alone
	barrier back

	mark
	play_or_die
	barrier traffic_again
	check "the server's device goes: the client says so" within 60 failed
	diag "$(klog | grep failed)"
	unload rdma_pingpong
	barrier device
	barrier device_back

	mark
	play_or_die
	check "our device goes under traffic" rxe_del rxe0
	check "the client says so" within 10 logged 'failed: DeviceRemoved'
	check "the module unloads" unload rdma_pingpong
	rxe_add rxe0 eth0 || die "no rxe"
	barrier finished
else
	load rdma_pingpong || die "the module does not load"
	barrier serving
	barrier traffic
	check "the module unloads under traffic" unload rdma_pingpong
	check "its resources are gone" within 20 rdma_resources_are "$resources"
	barrier gone
	barrier alone
	load rdma_pingpong || die "the module does not load"
	barrier back
	barrier traffic_again
	check "the device goes under traffic" rxe_del rxe0
	barrier device
	rxe_add rxe0 eth0 || die "no rxe"
	barrier device_back
	barrier finished
	check "the module still listens: it unloads" unload rdma_pingpong
fi
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
check "krdma unloads" unload krdma
check_not "no connection was refused for lack of anything" logged 'was not accepted'
barrier end
