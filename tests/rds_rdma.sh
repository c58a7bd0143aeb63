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
plan $((4 + 2 * is_rrds))

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

# checks OPTION...: those of the other node's memory. What is not ok, or skipped, goes to the results.
checks() {
	local status=0

	[ "$is_rrds" = 1 ] || set -- --c-here "$@"
	[ "$peer_is" = 1 ] || set -- --c-peer "$@"
	/lab/bin/rds-rdma check "$US" "$PEER" --nowhere "$NOWHERE" --patience $((20 * SLOW)) --seed "$SEED" \
		--operations "$OPERATIONS" "$@" >/tmp/checks 2>&1 || status=$?
	grep -v '^ok ' /tmp/checks
	return "$status"
}

# done_there: how many checks there were.
done_there() {
	sed -n 's/^checks \([0-9]*\),.*/\1/p' /tmp/checks
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
		check "reads and writes of the other node's memory" checks
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

serve
barrier "both begin"
check "both nodes at the same time" checks
diag "$(tail -n 1 /tmp/checks)"
barrier "both end"
serve_end

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

if [ "$is_rrds" = 1 ]; then
	check "rrds unloads" within 20 unload_rrds
	check "nothing is left on the devices" within 20 rdma_resources_are "$devices"
fi
barrier end
