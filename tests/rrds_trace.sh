# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a sends, node b receives, and both look at what is told of it: events, /sys/kernel/debug/rrds and the
# kernel's log.

. /lab/lib/rds.sh

TRACE=/sys/kernel/tracing
DUMP=/sys/kernel/debug/rrds
EVENTS="ack congestion connect drop frame_receive frame_send map receive refuse retransmit send state"
US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")
# More than may go without an acknowledgement.
COUNT=80

# trace_from_here: forget what was recorded.
trace_from_here() {
	echo >$TRACE/trace
}

# trace_all 0|1: record no event of rrds, or each.
trace_all() {
	echo "$1" >$TRACE/events/rrds/enable
}

# traced EVENT PATTERN...: whether the event was recorded with all of this in its line.
traced() {
	_found=$(grep " rrds_$1: " $TRACE/trace)
	shift
	for _pattern; do
		_found=$(echo "$_found" | grep -e "$_pattern")
	done
	[ -n "$_found" ]
}

# traced_times EVENT PATTERN
traced_times() {
	grep " rrds_$1: " $TRACE/trace | grep -c -e "$2"
}

# path TOS PAIR...: whether the dump of paths has the one with this type of service, with these pairs.
path() {
	_line=$(grep "^local=$US peer=$PEER tos=$1 " "$DUMP/paths")
	shift
	for _pair; do
		echo "$_line" | grep -q -e " $_pair\( \|$\)" || return 1
	done
}

# Addresses as the events show them.
mapped() {
	echo "::ffff:$1"
}
HERE="local=$(mapped "$US") peer=$(mapped "$PEER") tos=0"

every_event() {
	for event in $EVENTS; do
		[ -f "$TRACE/events/rrds/rrds_$event/format" ] || return 1
	done
	[ "$(grep -c '^rrds:' $TRACE/available_events)" = "$(echo "$EVENTS" | wc -w)" ]
}

# format EVENT FIELD...: the fields of an event, as perf reads them.
format() {
	_format=$TRACE/events/rrds/rrds_$1/format
	shift
	for _field; do
		grep -q "field:.* $_field\(\[16\]\)*;" "$_format" || return 1
	done
}

# The first column is the time: a line is a record, and there is nothing else.
nothing_traced() {
	! grep -v '^#' $TRACE/trace | grep -q .
}

ready() {
	rxe_up || die "no rxe"
	load krdma || die "no krdma"
	load rrds || die "no rrds"
}

# stream PORT COUNT: from a to b, to the end.
stream() {
	if [ "$NODE" = b ]; then
		command rds recv --pattern -c "$2" -W 100s "$US:$1" >/tmp/received 2>&1 &
		within 20 bound "$1" || die "rds recv does not bind"
		barrier "stream $1"
		check "stream to port $1" wait $!
	else
		barrier "stream $1"
		check "stream to port $1" rds send --pattern "$2" -s 64,5000 -W 100s "$PEER:$1"
	fi
	barrier "stream $1 end"
}

if [ "$NODE" = a ]; then
	plan 36
else
	plan 25
fi
ready
check "there is an event for everything" every_event
check "events have fields" format send local peer tos sport dport seq len
check "and states have names" grep -q '"accepting"' $TRACE/events/rrds/rrds_state/format
barrier loaded

# Nobody listens.
[ "$NODE" = b ] || check "ping" rds ping -c 2 -i 0 -W 60s "$PEER"
barrier pinged
check "nothing is recorded unless asked for" nothing_traced

# A new type of service is a new connection.
trace_all 1
barrier listening
if [ "$NODE" = a ]; then
	check "ping with another type of service" rds ping -c 2 -i 0 -Q 5 -W 60s "$PEER"
	check "a connection came up, ours" traced connect "${HERE%0}5" "role=initiator" "attempts=1"
else
	within 20 traced connect "tos=5"
	check "a connection came up, the peer's" traced connect "${HERE%0}5" "role=acceptor" "qp=[1-9]"
fi
barrier connected
states=dialing
[ "$NODE" = a ] || states=accepting
check "its states" traced state "tos=5" "down->$states" "reason=none"
check "to the end" traced state "tos=5" "$states->up"
role=acceptor
[ "$NODE" = b ] || role=initiator
check "the dump has the path" path 5 state=up "role=$role" device=rxe0 connected=1 reset=0 error=none
check "and the device" grep -q '^device=rxe0 receive_ring=[1-9][0-9]* receive_missing=[0-9]* ' "$DUMP/devices"
check "each begins with its name and version" [ "$(head -q -n 1 "$DUMP/paths" "$DUMP/devices" | xargs)" = \
	"rrds paths 1 rrds devices 1" ]

trace_from_here
barrier cleared
stream 6000 "$COUNT"
if [ "$NODE" = a ]; then
	check_eq "each message was taken over" "$(traced_times send "$HERE sport=[0-9]* dport=6000 seq=[0-9]* len=")" "$COUNT"
	check "frames were sent" traced frame_send "dport=6000" "len=5000 data_len=4096"
	check "the rest of a message, too" traced frame_send "dport=6000" "len=5000 data_len=904"
	check "something was acknowledged" traced ack "$HERE from="
	check_not "and nothing sent again" traced retransmit "$HERE"
	check "its time was measured" path 0 state=up unsent=0 "rtt_us=[1-9][0-9]*" retransmitted=0 error=none
else
	check_eq "each message was received" "$(traced_times receive "$HERE sport=[0-9]* dport=6000 seq=[0-9]* len=")" "$COUNT"
	check "frames came in" traced frame_receive "dport=6000" "flags=.*ack_required"
	check "an acknowledgement was sent" traced frame_send "$HERE" "sport=0 dport=0 seq=0 ack=[1-9]"
fi

# Nobody is there.
trace_from_here
barrier nobody
[ "$NODE" = b ] || check "a message to a port without a socket" rds send --pattern 1 -s 100 -W 60s "$PEER:6001"
barrier sent
[ "$NODE" = a ] || check "is dropped" within 10 traced drop "$HERE" "dport=6001" "len=100 reason=no_sock"

# A socket that is not read.
trace_from_here
barrier slow
if [ "$NODE" = b ]; then
	command rds recv --pattern -c 200 --buffer 8K -W 200s "$US:6002" >/tmp/received 2>&1 &
	slow=$!
	within 20 bound 6002 || die "rds recv does not bind"
	kill -STOP "$slow"
	barrier stopped
	check "it is congested" within 30 traced congestion "addr=$(mapped "$US") port=6002 congested"
	barrier waiting
	kill -CONT "$slow"
	check "it is read in the end" wait "$slow"
	check "and not congested any more" traced congestion "port=6002 freed"
else
	barrier stopped
	command rds send --pattern 200 -s 1000 -W 200s "$PEER:6002" >/tmp/sent 2>&1 &
	slow=$!
	check "its map came" within 30 traced map "$HERE" "offset=0 len=4096"
	check "the sender waits" within 30 traced congestion "addr=$(mapped "$PEER") port=6002 \(blocked\|refused\)"
	barrier waiting
	check "it has sent all in the end" wait "$slow"
fi
barrier "slow end"

# The peer's device is away, while something is to be sent.
trace_from_here
barrier away
if [ "$NODE" = b ]; then
	command rds recv --pattern -c 30 -W 200s "$US:6003" >/tmp/received 2>&1 &
	receiver=$!
	within 20 bound 6003 || die "rds recv does not bind"
	# Silent first, so that messages are sent and not acknowledged.
	ip link set eth0 down
	barrier down
	barrier "sent into the void"
	rxe_del rxe0
	check_not "the device is not in the dump any more" grep -q device=rxe0 "$DUMP/devices"
	ip link set eth0 up
	rxe_add rxe0 eth0
	check "all has come" wait "$receiver"
	check "and the log tells when the connection was back" within 10 logged "rrds: $US to $PEER, tos 0: connected"
else
	barrier down
	command rds send --pattern 30 -s 100 -W 200s "$PEER:6003" >/tmp/sent 2>&1 &
	sender=$!
	check "the connection is lost" within 60 traced state "$HERE" "up->closing reason=transport"
	check "the log says so, and what to do" within 10 \
		logged "rrds: $US to $PEER, tos 0: closed: transport error; is the peer up"
	check "it is tried again" within 60 traced state "$HERE" "down->dialing"
	check "the dump tells why" path 0 connected=1 reset=1 error=transport "error_ms=[0-9]*" "unsent=[1-9][0-9]*"
	barrier "sent into the void"
	check "all is sent" wait "$sender"
	check "again, after the connection was back" traced retransmit "$HERE" "dport=6003" "len=100"
	check "which came up" traced connect "$HERE" "attempts="
	check "the dump tells that, too" path 0 state=up "connected=[2-9][0-9]*" unsent=0 "retransmitted=[1-9][0-9]*"
	check "and so does the log" within 10 logged "rrds: $US to $PEER, tos 0: connected"
fi
barrier back

trace_all 0
trace_from_here
[ "$NODE" = b ] || rds ping -c 2 -i 0 -W 60s "$PEER"
barrier "pinged again"
check "nothing is recorded any more" nothing_traced
check "rrds unloads" unload rrds
check "its events are gone" [ ! -e $TRACE/events/rrds ]
check "and its dump" [ ! -e "$DUMP" ]
barrier end
