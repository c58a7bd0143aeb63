# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Who of two asks for the connection, and who uses it first, in all four ways, and both at the same time. Node
# a runs rrds, node b C, or rrds too ($BOTH). Each time it is another type of service, and so a connection that
# neither of them has had before. Who asks is who sends something while the other one is silent; for it to be
# silent also then on the connection, what was sent is taken back before the peer can be reached.

. /lab/lib/rds.sh

plan $((4 * 4 + 3 * ROUNDS))

OTHER=$(peers)
US=$(addr4 "$NODE") PEER=$(addr4 "$OTHER")

# made WHICH: how often this node had part in the connection: as the one that dialed, or that accepted.
made() {
	if [ "$NODE" = a ] || [ "$BOTH" = 1 ]; then
		logged_times "rrds: $US to $PEER, tos $tos: connected, $1"
	else
		case $1 in
		dialed) logged_times "RDS/IB: Active conn connected <::ffff:$US,::ffff:$PEER,$tos>" ;;
		accepted) logged_times "RDS/IB: Passive conn connected <::ffff:$US,::ffff:$PEER,$tos>" ;;
		esac
	fi
}

connected() {
	connection "$tos" 5 | grep -q U
}

fresh() {
	tos=$((tos + 1))
	barrier "$case begin"
}

receive() {
	command rds recv --streams 1 -W 100s "$US:5000" >/tmp/recv 2>&1 &
	recv=$!
	within 20 bound 5000 || die "rds recv does not bind: $(cat /tmp/recv)"
}

# all: that the other node's stream has come, in order.
all() {
	wait "$recv" && grep -q ": $MESSAGES messages from number 0 on, ended\$" /tmp/recv && return
	cat /tmp/recv
	return 1
}

stream() {
	rds send --pattern "$MESSAGES" --end -s 64,5000 -Q "$tos" -W 100s "$PEER:5000"
}

# streams FIRST: both ways, one after the other.
streams() {
	receive
	barrier "$case bound"
	if [ "$NODE" = "$1" ]; then
		check "$case: what it sends arrives" stream
		barrier "$case middle"
		check "$case: what comes is complete, in order" all
	else
		check "$case: what comes is complete, in order" all
		barrier "$case middle"
		check "$case: what it sends arrives" stream
	fi
	barrier "$case end"
}

rxe_up || die "no rxe"
if [ "$NODE" = a ] || [ "$BOTH" = 1 ]; then
	load_all krdma rrds || die "no rrds"
else
	modprobe rds_rdma || die "no rds_rdma"
fi
tos=0
barrier loaded
for dialer in a b; do
	for first in a b; do
		case="$dialer dials, $first sends first"
		fresh
		if [ "$dialer" != "$first" ]; then
			[ "$NODE" = "$dialer" ] || mute 0
			barrier "$case away"
			[ "$NODE" != "$dialer" ] || command rds send --pattern 1 -Q "$tos" -W 1s "$PEER:5000" >/dev/null 2>&1
			barrier "$case taken back"
			[ "$NODE" = "$dialer" ] || unmute 0
			within 60 connected || die "$case: no connection: $(rds info)"
			barrier "$case up"
		fi
		streams "$first"
		if [ "$NODE" = "$dialer" ]; then
			check_eq "$case: it dialed, once" "$(made dialed) $(made accepted)" "1 0"
		else
			check_eq "$case: it accepted, once" "$(made dialed) $(made accepted)" "0 1"
		fi
		check "$case: the connection is there" connected
	done
done
for round in $(seq "$ROUNDS"); do
	case="both at once, $round"
	fresh
	receive
	barrier "$case bound"
	check "$case: what it sends arrives" stream
	check "$case: what comes is complete, in order" all
	barrier "$case end"
	check "$case: the connection is there" within 20 connected
	diag "dialed $(made dialed), accepted $(made accepted)"
	barrier "$case over"
done
barrier end
