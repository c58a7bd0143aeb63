# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node $OURS runs rrds, the other one the C implementation, or rrds too ($BOTH). Each has memory that the other one reads
# and writes through sockets, right and wrong, in turn and at the same time.

. /lab/lib/rds.sh

US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")
PORT=4650
# Of the same network, and nobody's.
NOWHERE=10.0.0.200

is_rrds=0 peer_is=0
{ [ "$NODE" != "$OURS" ] && [ "$BOTH" = 0 ]; } || is_rrds=1
{ [ "$NODE" = "$OURS" ] && [ "$BOTH" = 0 ]; } || peer_is=1
plan $((3 + BOTH + 2 * is_rrds + $([ "$NODE" = a ] && echo 1 || echo 0)))

# serve: this node's memory is there for the other one, until `serve_end`.
serve() {
	/lab/bin/rds-rdma serve "$US" >/tmp/serve 2>&1 &
	server=$!
	within 20 bound "$PORT" || die "rds-rdma does not serve: $(cat /tmp/serve)"
}

serve_end() {
	kill "$server"
	wait "$server"
	[ "$(wc -l </tmp/serve)" -le 1 ] || diag "$(tail -n 5 /tmp/serve)"
}

# checks GROUP...: those of the other node's memory, or all of them. What is not ok, or skipped, goes to the results.
checks() {
	local status=0 group c_here='' c_peer=''

	[ "$is_rrds" = 1 ] || c_here=--c-here
	[ "$peer_is" = 1 ] || c_peer=--c-peer
	: >/tmp/checks
	for group; do
		[ "$group" != all ] || group=:
		/lab/bin/rds-rdma check "$US" "$PEER" --nowhere "$NOWHERE" --patience $((20 * SLOW)) --seed "$SEED" \
			--operations "$OPERATIONS" $c_here $c_peer --only "$group" >>/tmp/checks 2>&1 || status=$?
	done
	grep -v '^ok ' /tmp/checks
	# What was sent twice, and the like.
	[ "$status" = 0 ] || grep . /sys/class/infiniband/rxe0/ports/1/hw_counters/* | sed -n 's/.*hw_counters\///; /:0$/!p'
	return "$status"
}

# done_there: how many checks there were.
done_there() {
	sed -n 's/^checks \([0-9]*\),.*/\1/p' /tmp/checks | awk '{ sum += $1 } END { print sum + 0 }'
}

carriers_up || die "no rxe"
devices=$(rdma_resources)
if [ "$is_rrds" = 1 ]; then
	load_rrds || die "the modules do not load"
else
	modprobe "$(stock_rds)" || die "no $(stock_rds)"
fi

for checker in a b; do
	if [ "$NODE" = "$checker" ]; then
		barrier "$checker begins"
		# shellcheck disable=SC2086 # Words.
		check "reads and writes of the other node's memory" checks $ROWS
		diag "$(grep -e '^skip ' -e '^checks ' /tmp/checks)"
		check "there are many checks" [ "$(done_there)" -ge "$LEAST" ]
		barrier "$checker ends"
	else
		serve
		barrier "$checker begins"
		barrier "$checker ends"
		serve_end
	fi
done

if [ "$BOTH" = 1 ]; then
	serve
	barrier "both begin"
	# Only what works: what fails takes the connection of the other node's operations with it.
	check "both nodes at the same time" checks random
	diag "$(tail -n 1 /tmp/checks)"
	barrier "both end"
	serve_end
fi

if [ "$NODE" = a ]; then
	barrier "stress begins"
	check "operations beside messages, verified" rds stress --transport rdma -I "$US" -n 4 -d 8 -D 64K -s 1,4K \
		-c "$MESSAGES" -i 0 "$PEER"
	diag "$(grep RDMA /tmp/said)"
	barrier "stress ends"
else
	command rds stress --transport rdma --listen "$US" --once >/tmp/stress 2>&1 &
	stress=$!
	within 20 bound 4000 || die "rds stress does not listen: $(cat /tmp/stress)"
	barrier "stress begins"
	barrier "stress ends"
	check "the server finds nothing wrong either" wait "$stress"
fi
barrier "all is done"

# held_away: the device goes while a region of a program is on it, and comes again.
held_away() {
	mkfifo /tmp/hold
	/lab/bin/rds-rdma hold "$US" </tmp/hold >/tmp/held 2>&1 &
	exec 9>/tmp/hold
	within 20 grep -q -x held /tmp/held || return 1
	timeout $((30 * SLOW)) rdma link delete rxe0 || return 1
	exec 9>&-
	wait $!
	grep -q -x "given up" /tmp/held || return 1
	rxe_up
}
[ "$NODE" != a ] || check "the device goes in spite of regions on it" held_away

if [ "$is_rrds" = 1 ]; then
	check "rrds unloads" within 20 unload_rrds
	check "nothing is left on the devices" within 20 rdma_resources_are "$devices"
fi
barrier end
