# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Streams of numbered messages both ways, and in the middle of them something happens to one of the nodes, in
# odd rounds to a, in even ones to b. Node a runs rrds; node b C, or rrds too ($BOTH). What has to hold:
#
# link     Nothing that it sends arrives for a second or two.
# device   Its RDMA device goes and comes again.
# reset    It resets its TCP connections.
#          Either way: all messages of both streams arrive, once each and in order.
# reload   Its programs are killed, the module goes under what comes in and is loaded again, the programs are
#          started again.
# power    It goes through a reset, boots, loads the module, starts the programs.
#          Either way, of what the other node sends: what it does not know to be acknowledged when the node is
#          back, arrives there, once each and in order; nothing of what was acknowledged does. What the node's
#          kernel had acknowledged and its program had not read is gone with it.
#          Of what the node sent before: some first part has arrived, once each and in order; the rest is gone
#          with it. What it sends afterwards: all of it, as above, nothing taken for a duplicate.
#
# While the node comes back nothing that it sends arrives, so that it has no connection, until its program has
# the port: a message to a port that nobody has is acknowledged and dropped.

. /lab/lib/rds.sh

OTHER=$(peers)
US=$(addr4 "$NODE") PEER=$(addr4 "$OTHER")

# victim ROUND KIND: whom it happens to. C does not survive that its module goes while it dials: events of the
# connection manager meet code that is there no more. So only rrds is loaded again.
victim() {
	if [ $(($1 % 2)) = 1 ] || [ "$2$BOTH" = reload0 ]; then
		echo a
	else
		echo b
	fi
}

results() {
	local round kind count=2

	for round in $(seq "$ROUNDS"); do
		for kind in $KINDS; do
			count=$((count + 2))
			[ "$(victim "$round" "$kind")" != "$NODE" ] || count=$((count + 1))
		done
	done
	echo "$count"
}

stack_up() {
	if [ "$NODE" = a ] || [ "$BOTH" = 1 ]; then
		load_rrds
	else
		modprobe "$(stock_rds)"
	fi
}

stack_down() {
	if [ "$NODE" = a ] || [ "$BOTH" = 1 ]; then
		within 10 unload_rrds && unload krdma
	else
		within 10 rmmod "$(stock_rds)" && rmmod rds
	fi
}

# pending PORT: the numbers of the messages to that port that the other node has not acknowledged. (C lists
# addresses as 0.0.0.0 here.)
pending() {
	command rds info -4 --send --retransmit | awk -v to=":$1\$" '$2 ~ to { print $4 }' | sort -n
}

# settled PORT: nothing more can be acknowledged: there is no connection, or nothing that awaits it.
settled() {
	! connection 0 5 | grep -q U || [ -z "$(pending "$1")" ]
}

# numbers: of each lane to the peer, first to last, the number of the message that comes next.
numbers() {
	if [ "$TCP" = 1 ]; then
		sed -n "s/^local=$US peer=$PEER .* lane=\([0-9]*\) .* next_tx=\([0-9]*\) .*/\1 \2/p" \
			/sys/kernel/debug/rrds/paths | sort -n
	else
		echo "0 $(connection 0 6)"
	fi
}

# numbered: whether all lanes to the peer are there.
numbered() {
	[ "$(numbers | wc -l)" = $((1 + 7 * TCP)) ]
}

# first_pending PORT: the first message that is not acknowledged, counted from the numbers in /tmp/start. One lane
# has had messages since then. Beside it the first one may have had some that say who we are.
# awk is to take numbers for text: they have too many digits for it.
first_pending() {
	local first

	first=$(pending "$1" | head -n 1)
	# shellcheck disable=SC2046 # words on purpose
	set -- $(numbers | awk '
		NR == FNR { start[$1] = $2; next }
		$2 "" != start[$1] "" { next_tx = $2; from = start[$1] }
		END { print next_tx, from }' /tmp/start -)
	echo $((${first:-$1} - $2))
}

receiver() {
	command rds recv --streams 1 --list -W 300s "$US:$port" >/tmp/list 2>/tmp/recv &
	recv=$!
	within 20 bound "$port" || die "rds recv does not bind: $(cat /tmp/recv)"
}

# sender PORT COUNT: from our port PORT.
sender() {
	command rds send --pattern "$2" --end -s 64,5000 -W 300s -I "$US:$1" "$PEER:$port" >/tmp/send 2>&1 &
	send=$!
}

# received: how many messages our receiver has.
received() {
	tail -n 1 /tmp/list | cut -d : -f 1
}

received_some() {
	[ "$(received)0" -ge "${1}0" ]
}

random() {
	echo $(($(od -A n -N 4 -t u4 /dev/urandom) % $1))
}

pause() {
	usleep "$(random 700000)"
}

# streams: what came, a line for each sender.
streams() {
	grep ' messages from ' /tmp/recv
}

# whole PORT: that the stream from the other node's PORT came, all of it.
whole() {
	streams | grep -q "^$PEER:$1: $MESSAGES messages from number 0 on, ended\$" || {
		cat /tmp/recv
		return 1
	}
}

# The other node's sender that was cut off: what came of it is its beginning.
cut_off() {
	! streams | grep "^$PEER:$1:" | grep -v " from number 0 on, no end\$"
}

over() {
	wait "$1" || {
		cat "$2"
		return 1
	}
}

# all_came PORT [CUT_OFF]: the stream from the other node's PORT, after that of one that was cut off, if there is.
all_came() {
	over "$recv" /tmp/recv && whole "$1" || return 1
	[ $# = 1 ] || cut_off "$2"
}

# happens: what happens to this node, and its programs go on.
happens() {
	case $kind in
	link)
		mute 0
		# Longer than the connection lasts if something is under way.
		sleep 1
		pause
		unmute 0
		;;
	device)
		rxe_del rxe0
		pause
		rxe_add rxe0 eth0
		;;
	reset)
		rds_ss -K | grep -q 16385
		;;
	esac
}

# back: the node was away. It is ready for the rest of what the other node has.
back() {
	mute 0
	[ "$TCP" = 1 ] || [ -d /sys/class/infiniband/rxe0 ] || rdma link add rxe0 type rxe netdev eth0 || die "no rxe"
	stack_up || die "the modules do not load"
	receiver
	barrier "$number is back"
	lookup "first$number"
	first=$REPLY
	unmute 0
	[ "$TCP" = 1 ] || within 10 rxe_active rxe0
	sender "$second" "$MESSAGES"
	check "$what: all that was sent afterwards arrives" over "$send" /tmp/send
	check "$what: what came afterwards is complete, in order" over "$recv" /tmp/recv
	check "$what: it goes on with the first that was not acknowledged" \
		grep -q "^$PEER:$sport: begins with message $first\$" /tmp/recv
	diag "$(streams), first not acknowledged: $first"
}

# hit: this node is the one.
hit() {
	# A program that is killed must not have ended before.
	case $kind in
	reload | power) sender "$sport" 100000000 ;;
	*) sender "$sport" "$MESSAGES" ;;
	esac
	# The rest takes longer than to see that so many are there, on a busy machine too.
	within 200 received_some $((1 + $(random $((MESSAGES / 4))))) || die "nothing comes: $(cat /tmp/recv /tmp/send)"
	case $kind in
	reload)
		kill -9 "$send" "$recv"
		wait "$send" "$recv"
		stack_down || die "the modules do not go: $(lsmod)"
		back
		;;
	power)
		reset_node "$number"
		;;
	*)
		happens || die "it does not come back"
		check "$what: that was in the middle" [ "$(received)" -lt "$MESSAGES" ]
		check "$what: all that was sent arrives" over "$send" /tmp/send
		check "$what: all that came is complete, in order" all_came "$sport"
		;;
	esac
}

# stay: it happens to the other node.
stay() {
	sender "$sport" "$MESSAGES"
	case $kind in
	reload | power)
		barrier "$number is back"
		within 100 settled "$port" || die "the connection is not given up"
		publish "first$number" "$(first_pending "$port")"
		check "$what: all that was sent arrives" over "$send" /tmp/send
		check "$what: all that came is complete, in order" all_came "$second" "$sport"
		diag "$(streams | sed 's/.*: \([0-9]* messages\) .*, /\1, /' | xargs)"
		;;
	*)
		check "$what: all that was sent arrives" over "$send" /tmp/send
		check "$what: all that came is complete, in order" all_came "$sport"
		;;
	esac
}

if [ "$BOOT" = 0 ]; then
	plan "$(results)"
	carriers_up || die "no rxe"
	stack_up || die "the modules do not load"
	barrier loaded
	# From then on the paths are there, and with them the numbers of what is sent.
	check "ping" rds ping -c 1 -W 60s "$PEER"
	barrier pinged
else
	[ "$TCP" = 1 ] || modprobe rdma_rxe
fi
number=0
for round in $(seq "$ROUNDS"); do
	for kind in $KINDS; do
		number=$((number + 1)) port=$((5000 + number)) sport=$((6000 + number)) second=$((7000 + number))
		what="round $round, $kind of $(victim "$round" "$kind")"
		if [ "$BOOT" != 0 ]; then
			[ "$number" -ge "$WORDS" ] || continue
			if [ "$number" = "$WORDS" ]; then
				back
				barrier "$number end"
				continue
			fi
		fi
		receiver
		within 20 numbered || die "lanes are missing: $(numbers | xargs)"
		numbers >/tmp/start
		barrier "$number begin"
		if [ "$(victim "$round" "$kind")" = "$NODE" ]; then
			hit
		else
			stay
		fi
		barrier "$number end"
	done
done
check "ping at the end" rds ping -c 1 -W 60s "$PEER"
barrier end
