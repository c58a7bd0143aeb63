# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node hostile speaks to the connection manager and the queue pairs of node victim itself, by the cases of
# tests/modules/rds_hostile. Meanwhile node good and the victim exchange messages, all of which are verified.

. /lab/lib/rds.sh

VICTIM=$(addr4 victim)
# A port of the hostile one.
DEAF=5000
# Lines that rrds may log, a second: each path has one.
MOST_LINES=300
TRACE=/sys/kernel/tracing
# The type of service of the cases that count the ends of their connections.
DEEDS=3

# serve NAME COMMAND...: in the background until the end; what it says is in /tmp/NAME.
serve() {
	local name="$1"

	shift
	"$@" >"/tmp/$name" 2>&1 &
	echo $! >>/tmp/pids
}

# kmalloc_memory: kB of what is allocated by size. Other memory is of tasks too, and such a run leaves dozens of
# idle workers for minutes.
kmalloc_memory() {
	awk '/^kmalloc/ { sum += $2 * $4 } END { printf "%d\n", sum / 1024 }' /proc/slabinfo
}

# as_before KB: whether there is not much more of it than that.
as_before() {
	settle
	[ "$(kmalloc_memory)" -le $(($1 + KERNEL_NOISE)) ]
}

# watch_memory: the most that is in use, in /tmp/most.
watch_memory() {
	local most=0 now

	while [ ! -e /tmp/stop ]; do
		now=$(used_memory)
		[ "$now" -le "$most" ] || most=$now
		echo "$most" >/tmp/most
		sleep 1
	done
}

# no_more_qps: the device has a queue pair for each connection that is up or being made, and no other.
no_more_qps() {
	[ "$(rdma resource show qp | grep -c 'type RC')" -le "$(connections)" ]
}

# no_more_ids: the same of what the connection manager has, but for those that listen.
no_more_ids() {
	[ "$(ids)" -le "$(connections)" ]
}

# connections: how many are up or being made.
connections() {
	command rds info -n | grep -c -e ' [S-]C[U-] ' -e ' [S-][C-]U '
}

ids() {
	rdma resource show cm_id | grep -vc 'state LISTEN'
}

# ended REASON: how many connections of the type of service of the deeds were because of it.
ended() {
	grep "rrds_state: .*->closing" $TRACE/trace | grep -c "reason=$1\$"
}

# sent_deaf: whether a message to the peer that receives nothing is under way.
sent_deaf() {
	command rds info -t | grep -q -e ":$DEAF "
}

# given_up TIMES: whether so many connections were, because of what closed sockets had sent.
given_up() {
	[ "$(counted linger_timeout)" -ge "$1" ]
}

# send_and_die: a program sends to the peer that receives nothing, and is killed.
send_and_die() {
	local sender under=0

	# The type of service of the hostile one's connection.
	/lab/bin/rds send -Q 3 --pattern 4 -s 8192 "$(addr4 hostile):$DEAF" >/tmp/deaf 2>&1 &
	sender=$!
	within 20 sent_deaf || under=$?
	kill -KILL "$sender"
	wait "$sender"
	[ "$under" = 0 ] || cat /tmp/deaf
	return "$under"
}

victim() {
	local begun before most kmalloc given

	plan 11
	load_all krdma rrds || die "no rrds"
	unload rrds krdma || die "it does not go"
	settle
	kmalloc=$(kmalloc_memory)
	load_all krdma rrds || die "no rrds"
	# A quarter of this is what one peer may leave unread, in pages.
	echo $((MEBIBYTES * 512)) >/proc/sys/net/rds/ib/max_recv_allocation
	serve sink /lab/bin/rds recv -o /dev/null "$VICTIM:4100"
	serve stuck /lab/bin/rds recv -o /dev/null "$VICTIM:4101"
	stuck=$!
	serve stress /lab/bin/rds stress --listen "$VICTIM"
	within 20 bound 4100 || die "nobody reads"
	within 20 bound 4101 || die "nobody does not read"
	within 20 grep -q serving /tmp/stress || die "no server: $(cat /tmp/stress)"
	kill -STOP "$stuck"
	# It wants to talk to the hostile one, and has something to say that is not acknowledged.
	serve ping /lab/bin/rds ping -c 1 -W 10000s "$(addr4 hostile)"
	settle
	before=$(used_memory)
	mark
	echo "tos == $DEEDS" >$TRACE/events/rrds/rrds_state/filter
	echo 1 >$TRACE/events/rrds/rrds_state/enable
	begun=$(cut -d . -f 1 /proc/uptime)
	watch_memory &
	barrier attack
	lookup over
	touch /tmp/stop
	barrier over

	most=$(cat /tmp/most)
	diag "memory in use: $before kB before, $most kB at most, $(used_memory) kB now"
	check_le "memory stayed within bounds" $((most - before)) $((MOST_MEMORY * 1024))
	begun=$(($(cut -d . -f 1 /proc/uptime) - begun))
	diag "$(logged_times rrds) lines of rrds in $begun seconds"
	check_le "the log was not flooded" "$(logged_times rrds)" $((MOST_LINES + begun * 10))
	check "connections that have ended have left no queue pair" within 20 no_more_qps
	diag "$(rdma resource show qp | grep -c 'type RC') queue pairs, connections reset: $(counted conn_reset)"
	kill -CONT "$stuck"
	check "nor an identifier" within 20 no_more_ids
	diag "$(ids) identifiers"
	check_eq "each message that was too long has ended its connection, once, and for that" "$(ended too_long)" "$CYCLES"
	diag "connections ended: $(grep -o 'closing reason=.*' $TRACE/trace | sort | uniq -c | xargs)"
	echo 0 >$TRACE/events/rrds/rrds_state/enable
	check "the good peer answers" rds ping -c 1 -W 60s "$(addr4 good)"
	# shellcheck disable=SC2046 # words on purpose
	kill $(cat /tmp/pids)
	wait
	barrier pinged

	given=$(counted linger_timeout)
	barrier deaf
	check "a message is under way to a peer that receives nothing, and its sender is gone" send_and_die
	check "the connection to that peer is given up" within 60 given_up $((given + 1))
	check "rrds unloads" within 20 unload_rrds
	check "krdma unloads" unload krdma
	barrier gone
	if memory_tells; then
		check "nothing is left of it" within 1 as_before "$kmalloc"
		diag "kmalloc: $kmalloc kB before, $(kmalloc_memory) kB after"
	else
		skip "nothing is left of it" "this kernel's checkers keep memory; kmemleak looks for leaks"
	fi
}

# exchange: verified messages, one run after the other.
exchange() {
	local runs=0

	while [ ! -e /tmp/stop ]; do
		/lab/bin/rds stress -n 2 -d 4 -s 0,1,4095-4097,20000 -i 0 -t 100s -c 200 "$VICTIM" >/tmp/stress 2>&1 ||
			return 1
		runs=$((runs + 1))
		echo "$runs" >/tmp/runs
	done
}

good() {
	local work

	plan 4
	load_all krdma rrds || die "no rrds"
	barrier attack
	exchange &
	work=$!
	lookup over
	touch /tmp/stop
	check "all messages of the good peer arrived, in order" wait "$work" || cat /tmp/stress
	diag "$(cat /tmp/runs) runs"
	check "there were some" [ "$(cat /tmp/runs)" -ge 2 ]
	barrier over
	check "the victim answers" rds ping -c 1 -W 60s "$VICTIM"
	barrier pinged
	check "rrds unloads" unload rrds
	barrier deaf
	barrier gone
}

# hostile_with PARAMETER=VALUE...: loads the module.
hostile_with() {
	load rds_hostile "peer=$(number4 victim)" "other=$(number4 good)" peer6_high=0xfd00000000000000 \
		"peer6_low=$(($(index_of victim) + 1))" "flood=$FLOOD" "mebibytes=$MEBIBYTES" \
		"at_once=$AT_ONCE" "cycles=$CYCLES" "first=$FIRST" "patience=$((60000 * SLOW))" "$@"
}

# attack: all cases.
attack() {
	hostile_with keep=0 && unload rds_hostile
}

hostile() {
	local before

	plan 5
	load krdma || die "no krdma"
	stock_needs rds_hostile || die "no rdma_cm"
	before=$(rdma_resources)
	barrier attack
	mark
	check "the hostile module runs and goes" attack
	klog >/tmp/klog
	check "there were 300 cases" [ "$(grep -c 'rds_hostile: case .*: \(ok\|not ok: .*\)$' /tmp/klog)" -ge 300 ]
	check_eq "each came out as it should" "$(grep -A 1 'rds_hostile: case .*: not ok' /tmp/klog)" ""
	diag "$(grep 'rds_hostile: .* cases' /tmp/klog)"
	publish over yes
	barrier over
	barrier pinged
	check "there is a connection that receives nothing" hostile_with keep=1
	barrier deaf
	# Until the victim has unloaded rrds.
	barrier gone
	unload rds_hostile
	check "nothing is left on the device" within 20 rdma_resources_are "$before"
}

rxe_up || die "no rxe"
"$NODE"
