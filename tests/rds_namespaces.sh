# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two namespaces joined by a cable, an RDMA device in each unless messages go over TCP. What the transport has in a
# namespace is there while a socket is bound to it, so that the namespace can go.

. /lab/lib/rds.sh

plan $((29 - 6 * TCP))
# A network device waits for rxe's, which goes by work of its own. The kernel reports those that wait longer.
echo $((10 * SLOW)) >/proc/sys/net/core/netdev_unregister_timeout_secs

LEFT=10.8.0.1 RIGHT=10.8.0.2

# in_left COMMAND... / in_right COMMAND...
in_left() { ip netns exec left /lab/bin/rds "$@"; }
in_right() { ip netns exec right /lab/bin/rds "$@"; }

# receive NAMESPACE NAME ADDRESS:PORT OPTION...: in the background, as $!; what it says is in /tmp/NAME. The
# program is started, not the shell's function of the same name: a signal to $! would end the shell around it only.
receive() {
	local ns="$1" name="$2" at="$3"

	shift 3
	/usr/bin/ip netns exec "$ns" /lab/bin/rds recv "$@" -W $((60 * SLOW))s "$at" >"/tmp/$name" 2>&1 &
	within 20 bound_in "$ns" "${at##*:}" || die "rds recv does not bind: $(cat "/tmp/$name")"
}

# bound_in NAMESPACE PORT: whether a socket of the namespace has the port.
bound_in() {
	ip netns exec "$1" /lab/bin/rds info --sockets | grep -q ":$2 "
}

# exists DEVICE: whether the network device does.
exists() {
	[ -e "/sys/class/net/$1" ]
}

# delivered LEAST: whether so many messages have come to sockets of the one namespace.
delivered() {
	[ "$(counter right recv_delivered)" -ge "$1" ]
}

# forgotten: nothing is left in the one namespace of connections to the other.
forgotten() { ! in_right info -n | grep -q "$LEFT"; }

# counter NAMESPACE NAME: a counter of the namespace.
counter() {
	ip netns exec "$1" /lab/bin/rds info --counters | awk -v name="$2" '$1 == name { print $2 }'
}

# resources: what the transport has in both.
resources() {
	if [ "$TCP" = 1 ]; then
		for ns in left right; do
			ip netns exec $ns ss -tanH 'sport = :16385 or dport = :16385'
		done | grep -v TIME-WAIT
	else
		rdma_resources
	fi
}

# resources_are WHAT: as printed before, as rdma_resources_are.
resources_are() {
	[ "$(resources)" = "$1" ] || {
		resources
		return 1
	}
}

load_rrds || die "the modules do not load"
netns_pair left right $LEFT $RIGHT || die "no namespaces"
# They go with the namespaces.
for ns in left right; do
	ip link add $ns type veth peer name v1 netns $ns || die "no device that shows whether the namespace is there"
done
if [ "$TCP" = 0 ]; then
	modprobe rdma_rxe || die "no rdma_rxe"
	ip netns exec left rdma link add rxe0 type rxe netdev v0 || die "no rxe0"
	ip netns exec right rdma link add rxe1 type rxe netdev v0 || die "no rxe1"
fi
before=$(resources)

check "loopback in a namespace" in_left ping -c 2 -i 0 -W 60s 127.0.0.1
check_not "an address of another namespace" command rds ping -c 1 -I $LEFT $RIGHT

in_right stress --listen $RIGHT:4100 --once >/tmp/server 2>&1 &
server=$!
within 20 grep -q serving /tmp/server || die "no server: $(cat /tmp/server)"
check "stress from one to the other, verified" in_left stress -n 2 -d 4 -s 0-100,5000,64K -c "$MESSAGES" -i 0 \
	$RIGHT:4100
check "its server is content" wait "$server"
check "what was there for the sockets is gone" within 20 resources_are "$before"

# From here on one side knows what it had of the other, whose transport is there anew for each socket.
receive left one $LEFT:4300 -c 1
one=$!
receive right receiver $RIGHT:4200 --pattern -c "$MESSAGES"
receiver=$!
check "a stream the other way to the same address, later" in_left send --pattern "$MESSAGES" -W 60s $RIGHT:4200
check "all of it, in order" wait "$receiver"
check "one side forgets the other" within 20 forgotten

# Of a sender that stays: what it does not know to be received it sends again on the next connection.
receive right receiver $RIGHT:4300 -c 3
receiver=$!
mkfifo /tmp/pipe
/usr/bin/ip netns exec left /lab/bin/rds send -s 10 $RIGHT:4300 </tmp/pipe >/tmp/sender 2>&1 &
sender=$!
exec 7>/tmp/pipe
printf '%30s' three >&7
check "three messages of a sender that stays" wait "$receiver"
within 20 forgotten

receive right other $RIGHT:4300 -c 1
other=$!
check "ping between them" in_left ping -c 3 -i 0 -W 60s $RIGHT
check "none of the three comes again" kill -0 "$other"
check_eq "a connection is listed" "$(in_left info -n | grep -c "$LEFT.*$RIGHT")" 1
check_eq "and its other end there" "$(in_right info -n | grep -c "$RIGHT.*$LEFT")" 1
check_eq "but neither here" "$(command rds info -n | grep -c "$LEFT")" 0
check "its counters count" [ "$(counter right recv_ping)" -ge 3 ]
check "those here do not" [ -z "$(command rds info --counters | awk '$1 == "recv_ping" && $2 > 0')" ]
kill "$one" "$other" "$sender"
wait "$one" "$other" "$sender" 2>/dev/null
check "what was there for the sockets is gone again" within 20 resources_are "$before"

# What takes memory of the host is not for who administers a namespace to raise.
limits="max_send_wr max_recv_wr max_recv_allocation"
[ "$TCP" = 0 ] || limits=
for name in $limits; do
	file=/proc/sys/net/rds/ib/$name
	most=$(ip netns exec left cat "$file")
	# Its default is less than C's, which may be set.
	[ "$name" = max_send_wr ] && most=256
	check_not "$name can't be raised in a namespace" ip netns exec left sh -c "echo $((most + 1)) >$file" 2>/dev/null
	check "but lowered, and raised again" ip netns exec left sh -c "echo 10 >$file && echo $most >$file"
done

# paths NAMESPACE ADDRESS: what a user gets there, to hosts that are not there, and keeps until it is killed.
paths() {
	ip -n "$1" route add 10.10.0.0/16 dev v0
	: >"/tmp/paths.$1"
	/usr/bin/ip netns exec "$1" /lab/bin/rds_paths paths 65534 "$2" 10.10.0.0 60000 >"/tmp/paths.$1" &
	echo $! >>/tmp/takers
	within 100 [ -s "/tmp/paths.$1" ]
	diag "$1: $(cat "/tmp/paths.$1")"
}

# A user has a share of all, in however many namespaces.
check "a user gets paths in a namespace until it is refused" eval "
	paths left $LEFT && grep -q '^[1-9].* ENOMEM$' /tmp/paths.left"
check "and the same user hardly any in another one" eval "
	paths right $RIGHT && grep -q ' ENOMEM$' /tmp/paths.right && [ \$(cut -d ' ' -f 1 /tmp/paths.right) -le 5 ]"
# shellcheck disable=SC2046 # several
kill $(cat /tmp/takers)
wait

# They go as soon as nobody is in them: with messages under way.
had=$(counter right recv_delivered)
receive right receiver $RIGHT:4400 -o /dev/null
receiver=$!
in_left send --pattern 100000000 -s 64,9000 $RIGHT:4400 >/tmp/sender 2>&1 &
in_left send --pattern 100000000 -s 64,9000 $RIGHT:4400 >/tmp/sender 2>&1 &
check "messages are under way" within 20 delivered $((had + 1000))
check "the namespaces are deleted" eval "ip netns del left && ip netns del right"
# shellcheck disable=SC2046 # several
kill -9 $(pidof rds)
wait 2>/dev/null
# A namespace that was kept would keep its devices.
check "and go with their devices" within 20 eval "! rxe_exists rxe0 && ! rxe_exists rxe1 && ! exists left && ! exists right"
check "the modules unload" unload rrds krdma
