# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Load rrds, exchange messages over it between two devices of this node, unload it: again and again. In every
# second cycle the programs are killed in the middle of it, and the module goes with all its connections in
# use.

. /lab/lib/rds.sh

plan 5

ONE=10.9.0.1
TWO=10.9.0.2

# flow FROM TO PORT COUNT: messages of several kinds.
flow() {
	command rds recv --streams 1 --list -W 100s "$2:$3" >"/tmp/list$3" 2>"/tmp/recv$3" &
	flows="$flows $!"
	within 20 bound "$3" || return 1
	command rds send --pattern "$4" --end -s 64,5000,20000 -W 100s -I "$1" "$2:$3" >"/tmp/send$3" 2>&1 &
	flows="$flows $!"
}

received_some() {
	[ "$(wc -l <"/tmp/list$1")" -ge 20 ]
}

# cycle NUMBER
cycle() {
	local pid count="$MESSAGES"

	flows=
	[ $(($1 % 2)) = 0 ] || count=100000000
	load rrds || return 1
	flow "$ONE" "$TWO" 5000 "$count" && flow "$TWO" "$ONE" 5001 "$count" || return 1
	if [ $(($1 % 2)) = 0 ]; then
		for pid in $flows; do
			wait "$pid" || return 1
		done
		grep -q ": $MESSAGES messages from number 0 on, ended\$" /tmp/recv5000 || return 1
		grep -q ": $MESSAGES messages from number 0 on, ended\$" /tmp/recv5001 || return 1
	else
		within 60 received_some 5000 && within 60 received_some 5001 || return 1
		# shellcheck disable=SC2086 # several
		kill -9 $flows
		# shellcheck disable=SC2086
		wait $flows
	fi
	# What was under way is given back a moment later, and keeps its socket until then.
	within 20 unload rrds 2>/dev/null
}

# cycles N
cycles() {
	local i=0

	while [ "$i" -lt "$1" ]; do
		cycle "$i" || {
			echo "cycle $i"
			cat /tmp/recv* /tmp/send* || true
			return 1
		}
		i=$((i + 1))
	done
}

# again N: as above, until the numbers are given back.
again() {
	cycles "$1" && sleep 5
}

veth_pair v0 v1 "$ONE" "$TWO" || die "no veth"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
load krdma || die "krdma does not load"
check "2 cycles to warm up" cycles 2
resources=$(rdma_resources)
# The connection manager keeps a number for some seconds after its connection.
sleep 5
memory_mark
check "$CYCLES cycles" cycles "$CYCLES"
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
sleep 5
check_memory "memory is as before" "$CYCLES" again "$CYCLES"
check "krdma unloads" unload krdma
