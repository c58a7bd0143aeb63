# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The C implementation has the usual number of the address family, rrds another one; both use the same
# two devices, and for TCP the same two namespaces. What is measured is printed as lines of JSON.

plan 11
C=21 OURS=27 VERBS=0
OTHERS=tcp,nagle,udp,unix
FROM=10.9.0.1 TO=10.9.0.2 ABSENT=10.9.0.99
# More addresses of the same devices: there are not enough types of service.
MORE_FROM=10.9.1.1 MORE_TO=10.9.1.2 MOST=250
DEVICES=v0,v1
# The ends of TCP.
LEFT=10.8.0.1 RIGHT=10.8.0.2
SAMPLES=/tmp/samples
TURN=/tmp/turn SAID=/tmp/said

# measured ROW FAMILY VALUE [PACKETS]: as rds-bench prints it.
measured() {
	printf '{"row": "%s", "family": %d, "value": %s%s}\n' "$1" "$2" "$3" "${4:+, \"packets\": $4}" >>"$SAMPLES"
}

# bench FAMILIES OPTION...: measure between the two devices.
bench() {
	local families="$1"

	shift
	/lab/bin/rds-bench --families "$families" --devices "$DEVICES" "$@" "$FROM" "$TO" >>"$SAMPLES"
}

# wanted ROW: whether one of the words of $ONLY is in its name, or there are none.
wanted() {
	local word

	for word in $(echo "$ONLY" | tr , ' '); do
		case $1 in
		*"$word"*) return 0 ;;
		esac
	done
	[ -z "$ONLY" ]
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

# packets: how many both devices have sent.
packets() {
	cat /sys/class/net/v0/statistics/tx_packets /sys/class/net/v1/statistics/tx_packets |
		awk '{ sum += $1 } END { print sum }'
}

# verbs SIZE COUNT WINDOW: messages of rdma_pingpong, round trips of all sizes up to this if there is no window.
# Each has to go over the wire, in one packet at least; $PACKETS is how many it took.
verbs() {
	local before arriving=$2

	[ "$3" != 0 ] || arriving=$((2 * $2 * 7))
	before=$(packets)
	mark
	load rdma_pingpong "source=$(((10 << 24) + (9 << 16) + 1))" "peer=$(((10 << 24) + (9 << 16) + 2))" \
		"max_size=$1" "rounds=$2" "window=$3" timeout=60000 ack_timeout=18 || return 1
	calmly 60 eval "logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* messages of'"
	unload rdma_pingpong
	klog >/tmp/verbs
	! grep 'rdma_pingpong: .*failed' /tmp/verbs || return 1
	PACKETS=$(awk "BEGIN { print ($(packets) - $before) / $arriving }")
	if [ "$(packets)" -lt $((before + arriving)) ]; then
		echo "$arriving messages of raw verbs went in $(($(packets) - before)) packets: not over the wire"
		return 1
	fi
}

# one_way ROW: what rdma_pingpong says of messages one way, in messages a second or MiB/s.
one_way() {
	local value

	value=$(sed -n 's/^rdma_pingpong: .*: \([0-9]*\) messages of \([0-9]*\) bytes in \([0-9]*\) .*/\1 \2 \3/p' \
		/tmp/verbs | awk -v row="$1" '{ print $1 * 1e6 / $3 * (row ~ /flow/ ? $2 / 1048576 : 1) }')
	[ -n "$value" ] && measured "$1" $VERBS "$value" "$PACKETS"
}

verbs_round() {
	local median p99

	verbs 64 "$MESSAGES" 0 || return 1
	read -r median p99 <<-E
		$(sed -n 's/^rdma_pingpong: *64  *[0-9]*  *[0-9.]*  *\([0-9.]*\)  *\([0-9.]*\)$/\1 \2/p' /tmp/verbs)
	E
	[ -n "$p99" ] || return 1
	measured rtt-64-p50 $VERBS "$median" "$PACKETS"
	measured rtt-64-p99 $VERBS "$p99" "$PACKETS"
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

# both_round ROUND: the two implementations, in turn.
both_round() {
	# shellcheck disable=SC2086 # words on purpose
	if [ $(($1 % 2)) = 0 ]; then
		bench $C,$OURS --time "$TIME" ${ONLY:+--only $ONLY}
	else
		bench $OURS,$C --time "$TIME" ${ONLY:+--only $ONLY}
	fi
}

# others_round: what other sockets and raw verbs do on the same devices.
others_round() {
	# shellcheck disable=SC2086 # words on purpose
	bench $OTHERS --time "$TIME" ${ONLY:+--only $ONLY} && verbs_round
}

# between_spaces OPTION...: measure RDS over TCP, and TCP itself.
between_spaces() {
	/lab/bin/rds-bench --spaces left,right "$@" $LEFT $RIGHT >>"$SAMPLES"
}

# tcp_round ROUND
tcp_round() {
	local both=$C,$OURS

	[ $(($1 % 2)) = 0 ] || both=$OURS,$C
	# shellcheck disable=SC2086 # words on purpose
	between_spaces --families $both,tcp,nagle --time "$TIME" ${ONLY:+--only $ONLY}
}

# counted WORD,..: the instructions of a message of these rows, which the emulator counts, and the symbols.
counted() {
	bench "$C,$OURS,$OTHERS" --count "$COUNT" --only "$1" || return 1
	between_spaces --families "$C,$OURS,tcp,nagle" --count "$COUNT" --only "$1" || return 1
	[ "$SYMBOLS" = 0 ] || grep -i ' t ' /proc/kallsyms >>"$SAMPLES"
}

# held FAMILY THING COUNT TO: the memory that so many of a thing take, each.
held() {
	local before after pid

	wanted "mem-$2" || return 0
	rm -f "$TURN" "$SAID"
	mkfifo "$TURN" || return 1
	/lab/bin/rds-bench --families "$1" --hold "$2" --count "$3" "$FROM" "$4" <"$TURN" >"$SAID" &
	pid=$!
	exec 4>"$TURN"
	if within 10 grep -qs ready "$SAID"; then
		before=$(least_used "$LOOKS")
		echo >&4
		if within 60 grep -q held "$SAID"; then
			# What was sent has arrived.
			usleep 500000
			after=$(least_used "$LOOKS")
			measured "mem-$2" "$1" "$(awk "BEGIN { print ($after - $before) * 1024 / $3 }")"
		fi
	fi
	exec 4>&-
	wait "$pid" && [ -n "${after:-}" ]
}

memory() {
	local family

	for family in $C $OURS; do
		held "$family" socket "$HELD" "$TO" && held "$family" queued-64 "$HELD" "$ABSENT" &&
			held "$family" unread-64 "$HELD" "$TO" && held "$family" unread-4096 $((HELD / 8)) "$TO" || return 1
	done
}

# connect FAMILY FIRST LAST: paths number FIRST to LAST, by their first messages.
connect() {
	local last=$3

	if [ "$2" -le $MOST ]; then
		[ "$last" -le $MOST ] || last=$MOST
		/lab/bin/rds-bench --families "$1" --cold "$2-$last" "$FROM" "$TO" || return 1
	fi
	if [ "$3" -gt $MOST ]; then
		last=$(($2 - MOST))
		[ "$last" -ge 1 ] || last=1
		/lab/bin/rds-bench --families "$1" --cold "$last-$(($3 - MOST))" "$MORE_FROM" "$MORE_TO"
	fi
}

# paths FAMILY NUMBER...: the memory of each path more, until there are so many.
paths() {
	local before after family=$1 first=$((1 + COLD * COLD_ROUNDS)) last

	shift
	for last in "$@"; do
		wanted "path-$last" || return 0
		before=$(least_used "$LOOKS")
		connect "$family" "$first" "$last" || return 1
		after=$(least_used "$LOOKS")
		measured "path-$last" "$family" "$(awk "BEGIN { print ($after - $before) / (2 * ($last - $first + 1)) }")"
		first=$((last + 1))
	done
}

# The C implementation stands still when its receive buffers take a third of the memory.
all_paths() {
	# shellcheck disable=SC2086 # words on purpose
	paths $OURS $PATHS && paths $C $C_PATHS
}

ulimit -n 20000
veth_pair v0 v1 "$FROM" "$TO" || die "no veth"
ip route add "$ABSENT/32" dev v0 || die "no route"
{ ip addr add "$MORE_FROM/32" dev v0 && ip addr add "$MORE_TO/32" dev v1; } || die "no addresses"
{ ip route add "$MORE_TO/32" dev v0 && ip route add "$MORE_FROM/32" dev v1; } || die "no routes"
ip neigh add "$MORE_TO" lladdr "$(cat /sys/class/net/v1/address)" dev v0 nud permanent || die "no neighbour"
ip neigh add "$MORE_FROM" lladdr "$(cat /sys/class/net/v0/address)" dev v1 nud permanent || die "no neighbour"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
modprobe rds_rdma || die "no rds_rdma"
check "krdma loads" load krdma
check "rrds loads beside the C implementation" load rrds family=$OURS port=28634 port6=26385 tcp=1 tcp_port=26385
prefer_loopback 1
: >"$SAMPLES"
check "first messages and idle connections" rounds_of cold_round "$COLD_ROUNDS"
check "rounds" rounds_of both_round "$ROUNDS"
check "rounds of others, raw verbs among them" rounds_of others_round "$OTHER_ROUNDS"
netns_pair left right $LEFT $RIGHT || die "no namespaces"
modprobe rds_tcp || die "no rds_tcp"
check "rounds over TCP" rounds_of tcp_round "$ROUNDS"
cat "$SAMPLES"
: >"$SAMPLES"
check "instructions of a message" counted "$COUNTED"
check "memory of sockets and messages" memory
check "memory of paths" all_paths
check "rrds unloads" unload rrds
check "krdma unloads" unload krdma
cat "$SAMPLES"
