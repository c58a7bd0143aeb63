# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# What people have reported of RDS, of rxe and of programs like these, tried here; Documentation/field.rst has
# the reports. Both nodes run rrds; things happen to node a, or to its peer.

. /lab/lib/rds.sh

OTHER=$(peers)
US=$(addr4 "$NODE") PEER=$(addr4 "$OTHER")
# As they are printed.
US6=$(addr6 "$NODE" | sed 's/^fd00:0:0:0::/fd00::/')
PEER6=$(addr6 "$OTHER" | sed 's/^fd00:0:0:0::/fd00::/')
DEAD=10.0.0.77

if [ "$NODE" = a ]; then
	plan 37
else
	plan 14
fi
rxe_up || die "no rxe"
stock_needs krdma || die "the stock modules do not load"
resources=$(rdma_resources)
load_all krdma rrds || die "no rrds"
barrier loaded

# gids FROM TO: the GIDs of the connection between two addresses.
gids() {
	command rds info --rdma | awk -v from="$1" -v to="$2" '$1 == from && $2 == to { print $5, $6 }' | sort -u
}

# gid_index ADDRESS: where the device's table, which is long, has the GID of an IPv4 address.
gid_index() {
	local want at

	want=$(echo "$1" | awk -F . '{ printf "0000:0000:0000:0000:0000:ffff:%02x%02x:%02x%02x", $1, $2, $3, $4 }')
	at=$(grep -l "^$want" /sys/class/infiniband/rxe0/ports/1/gids/* 2>/dev/null | head -n 1)
	[ -n "$at" ] && echo "${at##*/}"
}

has_link_local() {
	grep -q '^fe80:' /sys/class/infiniband/rxe0/ports/1/gids/* 2>/dev/null
}

# An interface has an address for its link only, which comes first in the device's table, and others.
routable() {
	barrier gids
	check "the device has a GID for its link only" within 20 has_link_local
	check "ping by IPv4" rds ping -c 1 -W 60s "$PEER"
	check "ping by IPv6" rds ping -c 1 -W 60s "$PEER6"
	check_eq "the GIDs of the IPv4 addresses were chosen" "$(gids "$US" "$PEER")" "::ffff:$US ::ffff:$PEER"
	check_eq "and those of the IPv6 addresses" "$(gids "$US6" "$PEER6")" "$US6 $PEER6"
	barrier "gids end"
}

# link_local: this node's address for its link only.
link_local() {
	ip -6 -o addr show dev eth0 scope link | sed -n 's/.*inet6 \([^/]*\).*/\1/p' | grep -m 1 .
}

# An address for the link only belongs to an interface, which is in no message: whoever is asked for a connection
# has it from where the request came in.
linked() {
	local here there recv

	here=$(link_local)
	publish "link_$NODE" "$here"
	lookup "link_$OTHER"
	there=$REPLY
	command rds recv --pattern -c 20 -W 100s "[$here%eth0]:5200" >/tmp/recv 2>&1 &
	recv=$!
	within 20 bound 5200 || die "rds recv does not bind: $(cat /tmp/recv)"
	barrier linked
	# One after the other: the path of the one who answers is made by a request.
	[ "$NODE" = a ] || barrier "linked a"
	check "messages to an address for the link only" rds send --pattern 20 -s 64,5000 -W 60s -I "$here%eth0" \
		"[$there%eth0]:5200"
	[ "$NODE" != a ] || barrier "linked a"
	check "they arrive" wait "$recv" || diag "$(cat /tmp/recv)"
	barrier "linked both"
	check_eq "the way there and the way back are one" \
		"$(command rds info -6 -n | awk -v us="$here" -v peer="$there" '$1 == us && $2 == peer' | wc -l)" 1
	barrier "linked end"
}

# moves: the address goes and comes again, and another one has taken its place in the device's table. The loopback
# device has it meanwhile: rxe cannot send from an address that the host does not have, and its QP 1 does not survive
# a packet that it cannot send, be it a message of the connection manager or an answer to one. Nothing would be
# connected by that device any more, whoever asked.
moves() {
	local i

	for i in $(seq "$MOVES"); do
		usleep 300000
		printf '%s\n' "addr add $US/32 dev lo" "addr del $US/24 dev eth0" >/tmp/batch
		ip -batch /tmp/batch || return 1
		usleep 300000
		printf '%s\n' "addr add 10.7.$i.1/24 dev eth0" "addr add $US/24 dev eth0" "addr del $US/32 dev lo" >/tmp/batch
		ip -batch /tmp/batch || return 1
		within 20 gid_index "$US" >/tmp/index || return 1
	done
}

moved() {
	[ "$(gid_index "$US")" != "$1" ]
}

# Streams both ways while the address of node a moves; the sockets stay bound.
readdressed() {
	local recv send index

	command rds recv --pattern -c "$MESSAGES" -W 300s "$US:5000" >/tmp/recv 2>&1 &
	recv=$!
	within 20 bound 5000 || die "rds recv does not bind: $(cat /tmp/recv)"
	barrier moves
	index=$(gid_index "$US")
	command rds send --pattern "$MESSAGES" -s 64,5000 -W 300s -I "$US" "$PEER:5000" >/tmp/send 2>&1 &
	send=$!
	if [ "$NODE" = a ]; then
		check "the address goes and comes, $MOVES times" moves
		check "its GID has another index" within 20 moved "$index"
		diag "$index before, $(gid_index "$US") now"
	fi
	check "all that was sent arrives" wait "$send" || diag "$(cat /tmp/send)" "$(rdma resource show qp | grep GSI)"
	check "all came, in order" wait "$recv" || diag "$(cat /tmp/recv)"
	barrier moved
	check "a new connection finds the address" rds ping -c 1 -Q 8 -W 60s "$PEER"
	barrier "moves end"
}

# edge NAME WORD...: rds_edge in the background. It begins with a byte of input, and ends with the end of that.
edge() {
	local name="$1"

	shift
	mkfifo "/tmp/$name.in"
	/lab/bin/rds_edge 21 "$@" "$EDGES" <"/tmp/$name.in" >"/tmp/$name" 2>&1 &
	echo $! >"/tmp/$name.pid"
}

# edge_done NAME: it has said how it ended.
edge_done() {
	[ "$(wc -l <"/tmp/$1")" -gt 1 ]
}

# edge_ends NAME: it got all.
edge_ends() {
	calmly 1000 edge_done "$1"
	grep -q '^done' "/tmp/$1" || {
		cat "/tmp/$1"
		return 1
	}
}

# Whoever waits by an edge-triggered epoll is woken.
edges() {
	edge far "$US" 5100 "$PEER" 5100
	exec 7>/tmp/far.in
	within 20 grep -q bound /tmp/far || die "rds_edge does not bind: $(cat /tmp/far)"
	barrier edges
	echo >&7
	check "edge-triggered, nobody waits for ever" edge_ends far
	diag "$(tail -n 1 /tmp/far)"
	barrier "edges end"
	exec 7>&-
	wait "$(cat /tmp/far.pid)"
}

# waiting: whether messages of a mebibyte are under way.
waiting() {
	command rds info --send --retransmit | grep -q " 1048576$"
}

# hex ADDRESS: an IPv4 address in a record; hex6: the same in one with room for IPv6.
hex() {
	echo "$1" | awk -F . '{ printf "%02x%02x%02x%02x", $1, $2, $3, $4 }'
}

hex6() {
	printf '00000000000000000000ffff%s' "$(hex "$1")"
}

zeros() {
	printf "%0$(($1 * 2))d" 0
}

dialed() {
	/lab/bin/rds_lists | grep -q "^10008 $(hex "$US")$(hex "$DEAD")"
}

# Nobody is at the address that is dialed. What is not known of the connection is zero in its records.
unconnected() {
	local pid

	command rds send --pattern 1 -s 10 -W 1000s "$DEAD:5300" >/tmp/dead 2>&1 &
	pid=$!
	check "the connection is listed" within 20 dialed
	/lab/bin/rds_lists >/tmp/lists
	check_eq "with IPv4 addresses, and else zeros" \
		"$(grep "^10008 $(hex "$US")$(hex "$DEAD")" /tmp/lists)" "10008 $(hex "$US")$(hex "$DEAD")$(zeros 60)"
	check_eq "with IPv6 addresses, and else zeros" \
		"$(grep "^10017 $(hex6 "$US")$(hex6 "$DEAD")" /tmp/lists)" \
		"10017 $(hex6 "$US")$(hex6 "$DEAD")$(zeros 60)"
	# The next message to come, the addresses, the transport's name, and that it is being connected, or waits.
	check "the list of all connections has no more than is known" grep -q \
		"^10001 .\{16\}$(zeros 8)$(hex "$US")$(hex "$DEAD")696e66696e6962616e64$(zeros 6)0[0-7]00$" /tmp/lists
	check "with IPv6 addresses too" grep -q \
		"^10011 .\{16\}$(zeros 8)$(hex6 "$US")$(hex6 "$DEAD")696e66696e6962616e64$(zeros 6)0[0-7]$" /tmp/lists
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
}

# elsewhere PROGRAM: run by nobody, in a user namespace and a network namespace of his own.
elsewhere() {
	su -s /bin/sh nobody -c "unshare -U -r -n $1" 2>&1
}

# Sockets, connections and messages of the initial namespace are there, and are no business of another's.
unprivileged() {
	check "here the lists have records" [ "$(/lab/bin/rds_lists | grep -c -v '^10000')" -ge 8 ]
	check "nobody can have a namespace" elsewhere "id -u"
	elsewhere /lab/bin/rds_lists >/tmp/lists
	check "and ask for the lists there" grep -q '^10000 ' /tmp/lists
	# That of counters; and the program's own socket, which has no address, where there is room for IPv6.
	check_eq "but no list has a record of ours" \
		"$(grep -v '^10000 ' /tmp/lists | grep -v "^10015 .\{8\}$(zeros 36)")" ""
	check_not "nor is anything counted there" grep -q "^10000 .\{64\}.*[1-9a-f]" /tmp/lists
}

# An address that a device of ours has is none of a device in a namespace of one's own.
borrowed() {
	local status=0

	cat >/tmp/borrow <<-EOF
		ip link set lo up && ip addr add $US/32 dev lo || exit 9
		exec /lab/bin/rds ping -c 1 -W 5s -I $US $PEER
	EOF
	elsewhere "sh /tmp/borrow" >/tmp/borrowed || status=$?
	check_eq "an address of our device does not help there" "$status" 3
	check "as there is no device" grep -q EADDRNOTAVAIL /tmp/borrowed || diag "$(cat /tmp/borrowed)"
}

# ended PID: no process, or only what is left until it is waited for.
ended() {
	! grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null
}

# nobody_is_stuck: no task waits without being interruptible. Some do for a moment.
nobody_is_stuck() {
	! grep -q '^State:.D' /proc/[0-9]*/status 2>/dev/null
}

# Messages of a mebibyte are under way to a peer that does not answer any more: sockets and modules go all the same.
frozen() {
	local pids='' pid

	if [ "$NODE" = b ]; then
		command rds recv -o /dev/null -W 1000s "$US:5300" &
		pid=$!
		within 20 bound 5300 || die "rds recv does not bind"
		barrier freeze
		lookup sending
		mute 0
		barrier frozen
		lookup gone
		unmute 0
		kill -9 "$pid"
		wait "$pid" 2>/dev/null
		barrier thawed
		check "after that the other one is there again" rds ping -c 1 -W 100s "$PEER"
		barrier pinged
		return
	fi
	barrier freeze
	# A message of a mebibyte is to go into a send buffer.
	echo 8388608 >/proc/sys/net/core/wmem_max
	echo 8388608 >/proc/sys/net/core/wmem_default
	for _ in 1 2 3 4; do
		command rds send --pattern 100000 -s 1M -W 1000s "$PEER:5300" >/dev/null 2>&1 &
		pids="$pids $!"
	done
	within 60 connections_up 1
	publish sending yes
	barrier frozen
	check "messages of a mebibyte are under way to a frozen peer" within 20 waiting
	unconnected
	unprivileged
	borrowed
	# shellcheck disable=SC2086 # several
	kill -9 $pids
	for pid in $pids; do
		check "sender $pid ends" within 20 ended "$pid"
	done
	# shellcheck disable=SC2086
	wait $pids 2>/dev/null
	check "rrds unloads" within 20 unload_rrds
	check "krdma unloads" unload krdma
	check "nobody is stuck" within 20 nobody_is_stuck
	check "the device has what it had" within 20 rdma_resources_are "$resources"
	publish gone yes
	load_all krdma rrds || die "no rrds"
	barrier thawed
	check "after that the other one is there again" rds ping -c 1 -W 100s "$PEER"
	barrier pinged
}

routable
linked
readdressed
edges
frozen
check "all unloads" eval "within 20 unload_rrds && unload krdma"
barrier end
