# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The C implementation has the usual number of the address family, rrds another one; both use the same
# two devices. What is measured is printed as lines of JSON.

plan 7
C=21 OURS=27 VERBS=0
FROM=10.9.0.1 TO=10.9.0.2
SAMPLES=/tmp/samples

# measured ROW FAMILY VALUE: as rds-bench prints it.
measured() {
	printf '{"row": "%s", "family": %d, "value": %s}\n' "$@" >>"$SAMPLES"
}

# bench FAMILIES OPTION...: measure between the two devices.
bench() {
	local families="$1"

	shift
	/lab/bin/rds-bench --families "$families" "$@" "$FROM" "$TO" >>"$SAMPLES"
}

# cold_round ROUND: the first messages of new connections, and the memory that these take. A type of service
# has a connection of its own, like a peer, and here both ends of it. They stay: the C implementation
# cannot be unloaded with connections between two addresses of one host, the kernel would crash.
cold_round() {
	local before after order="$C $OURS" family first=$((1 + $1 * COLD))

	[ $(($1 % 2)) = 0 ] || order="$OURS $C"
	for family in $order; do
		before=$(least_used "$LOOKS")
		bench "$family" --cold "$first-$((first + COLD - 1))" || return 1
		after=$(least_used "$LOOKS")
		measured idle "$family" "$(awk "BEGIN { print ($after - $before) / (2 * $COLD) }")"
	done
}

# verbs SIZE COUNT WINDOW: messages of rdma_pingpong, round trips if there is no window.
verbs() {
	mark
	load rdma_pingpong "peer=$(((10 << 24) + (9 << 16) + 2))" "max_size=$1" "rounds=$2" "window=$3" \
		timeout=60000 ack_timeout=18 || return 1
	calmly 60 eval "logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* messages of'"
	unload rdma_pingpong
	klog >/tmp/verbs
	! grep 'rdma_pingpong: .*failed' /tmp/verbs
}

# one_way ROW: what rdma_pingpong says of messages one way, in messages a second or MiB/s.
one_way() {
	local value

	value=$(sed -n 's/^rdma_pingpong: .*: \([0-9]*\) messages of \([0-9]*\) bytes in \([0-9]*\) .*/\1 \2 \3/p' \
		/tmp/verbs | awk -v row="$1" '{ print $1 * 1e6 / $3 * (row ~ /flow/ ? $2 / 1048576 : 1) }')
	[ -n "$value" ] && measured "$1" $VERBS "$value"
}

verbs_round() {
	local median p99

	verbs 64 "$MESSAGES" 0 || return 1
	read -r median p99 <<-E
		$(sed -n 's/^rdma_pingpong: *64  *[0-9]*  *[0-9.]*  *\([0-9.]*\)  *\([0-9.]*\)$/\1 \2/p' /tmp/verbs)
	E
	[ -n "$p99" ] || return 1
	measured rtt-64-p50 $VERBS "$median"
	measured rtt-64-p99 $VERBS "$p99"
	verbs 64 "$((4 * MESSAGES))" 16 && one_way rate-64-d16-s1 &&
		verbs 65536 "$MESSAGES" 16 && one_way flow-64K &&
		verbs 1048576 "$((MESSAGES / 8 + 4))" 4 && one_way flow-1M
}

rounds_of() {
	local round=0

	while [ "$round" -lt "$2" ]; do
		"$1" "$round" || return 1
		round=$((round + 1))
	done
}

rds_round() {
	# shellcheck disable=SC2086 # words on purpose
	if [ $(($1 % 2)) = 0 ]; then
		bench $C,$OURS --time "$TIME" ${ONLY:+--only $ONLY}
	else
		bench $OURS,$C --time "$TIME" ${ONLY:+--only $ONLY}
	fi
}

round() {
	rds_round "$1" && verbs_round
}

# counted WORD,..: the instructions of a message of these rows, which the emulator counts, and the symbols.
counted() {
	bench $C,$OURS --count "$COUNT" --only "$1" || return 1
	[ "$SYMBOLS" = 0 ] || grep -i ' t ' /proc/kallsyms >>"$SAMPLES"
}

veth_pair v0 v1 "$FROM" "$TO" || die "no veth"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
modprobe rds_rdma || die "no rds_rdma"
check "krdma loads" load krdma
check "rrds loads beside the C implementation" load rrds family=$OURS port=28634 port6=26385
: >"$SAMPLES"
check "first messages and idle connections" rounds_of cold_round "$COLD_ROUNDS"
check "rounds" rounds_of round "$ROUNDS"
cat "$SAMPLES"
: >"$SAMPLES"
check "instructions of a message" counted "$COUNTED"
check "rrds unloads" unload rrds
check "krdma unloads" unload krdma
cat "$SAMPLES"
