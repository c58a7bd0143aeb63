# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The node's network: NICs of its links, addresses of its peers, pairs of devices within one node.

# busybox prefers its own smaller ones.
ip() { /usr/bin/ip "$@"; }
tc() { /usr/bin/tc "$@"; }

# index_of NODE: its number in the test, from 0.
index_of() {
	local at=0 name

	for name in $NODES; do
		if [ "$name" = "$1" ]; then
			echo "$at"
			return 0
		fi
		at=$((at + 1))
	done
	die "no node is called $1"
}

# addr4 NODE [LINK] / addr6 NODE [LINK]: a node's address on a link, the first if not said.
addr4() {
	echo "10.0.${2:-0}.$(($(index_of "$1") + 1))"
}

addr6() {
	printf 'fd00:0:0:%x::%x\n' "${2:-0}" "$(($(index_of "$1") + 1))"
}

# number4 NODE [LINK]: the IPv4 address as a number, as parameters of modules take it.
number4() {
	echo $(((10 << 24) + (${2:-0} << 8) + $(index_of "$1") + 1))
}

# peers: the names of all nodes but this one.
peers() {
	local name

	for name in $NODES; do
		[ "$name" = "$NODE" ] || echo "$name"
	done
}

# One NIC: SLOT LINK MTU MAC IPV4 IPV6 [NETEM...]
_nic_up() {
	local nic="eth$1" mtu="$3" mac="$4" ipv4="$5" ipv6="$6"

	shift 6
	[ "$(cat "/sys/class/net/$nic/address")" = "$mac" ] || die "$nic is not the NIC with $mac"
	ip link set "$nic" mtu "$mtu" up || return 1
	ip addr add "$ipv4/24" dev "$nic" || return 1
	ip addr add "$ipv6/64" dev "$nic" nodad || return 1
	if [ $# -gt 0 ]; then
		# The queue must hold what the delay keeps back.
		tc qdisc add dev "$nic" root netem limit 10000 "$@" || return 1
	fi
}

net_up() {
	local line

	ip link set lo up
	echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
	[ -z "$NICS" ] || modprobe virtio_net || return 1
	for slot in $NICS; do
		eval "line=\$NIC_$slot"
		# shellcheck disable=SC2086 # words on purpose
		_nic_up $line || return 1
	done
}

# netem_dropped SLOT: how many packets this end's netem has thrown away.
netem_dropped() {
	tc -s qdisc show dev "eth$1" | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | head -n 1
}

# _netem SLOT WORD...: what the test's file says of the NIC's link, with these words in place of `loss 0%`.
_netem() {
	local slot="$1"

	shift
	eval "echo \"\$NIC_$slot\"" | cut -d ' ' -f 7- | sed "s/loss 0%/$*/"
}

# mute SLOT / unmute SLOT: nothing that this node sends there arrives any more, as if a cable were broken. The
# link needs `loss = 0` in the test's file. To take the device down, or to put a queueing discipline there only
# now, is something else: a packet that cannot be sent at that moment takes QP 1 of the stock rxe with it, and
# so the connection manager, until the RDMA device is made anew.
mute() {
	# shellcheck disable=SC2046 # words on purpose
	tc qdisc change dev "eth$1" root netem limit 10000 $(_netem "$1" loss 100%)
}

unmute() {
	# shellcheck disable=SC2046 # words on purpose
	tc qdisc change dev "eth$1" root netem limit 10000 $(_netem "$1" loss 0%)
}

# veth_pair FIRST SECOND ADDRESS1 ADDRESS2: two devices in one namespace whose traffic really goes over the wire.
# Without all of this the kernel would keep it inside, by its local table, or drop it as a martian.
veth_pair() {
	local first="$1" second="$2" one="$3" two="$4" dev

	ip link add "$first" mtu 9000 type veth peer name "$second" mtu 9000 || return 1
	echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
	for dev in "$first" "$second"; do
		echo 0 >"/proc/sys/net/ipv4/conf/$dev/rp_filter"
		echo 1 >"/proc/sys/net/ipv4/conf/$dev/accept_local"
		ip link set "$dev" up || return 1
	done
	ip addr add "$one/32" dev "$first" || return 1
	ip addr add "$two/32" dev "$second" || return 1
	ip route add "$two/32" dev "$first" || return 1
	ip route add "$one/32" dev "$second" || return 1
	ip neigh add "$two" lladdr "$(cat "/sys/class/net/$second/address")" dev "$first" nud permanent || return 1
	ip neigh add "$one" lladdr "$(cat "/sys/class/net/$first/address")" dev "$second" nud permanent
}

# veth_pair6 FIRST SECOND ADDRESS1 ADDRESS2: IPv6 addresses for such devices. Only what they receive is looked up in the
# local table first.
veth_pair6() {
	local first="$1" second="$2" one="$3" two="$4" dev

	for dev in "$first" "$second"; do
		ip -6 rule add pref 1 iif "$dev" lookup local || return 1
	done
	ip -6 rule add pref 3 lookup local && ip -6 rule add pref 2 lookup main && ip -6 rule del pref 0 || return 1
	ip addr add "$one/128" dev "$first" nodad noprefixroute || return 1
	ip addr add "$two/128" dev "$second" nodad noprefixroute || return 1
	ip route add "$two/128" dev "$first" || return 1
	ip route add "$one/128" dev "$second" || return 1
	ip neigh add "$two" lladdr "$(cat "/sys/class/net/$second/address")" dev "$first" nud permanent || return 1
	ip neigh add "$one" lladdr "$(cat "/sys/class/net/$first/address")" dev "$second" nud permanent
}

# netns_pair NS1 NS2 ADDRESS1 ADDRESS2: two namespaces joined by a cable, device v0 in each.
netns_pair() {
	local ns address

	ip netns add "$1" && ip netns add "$2" || return 1
	ip link add v0 netns "$1" mtu 9000 type veth peer name v0 netns "$2" mtu 9000 || return 1
	for ns in "$1=$3" "$2=$4"; do
		address=${ns#*=}
		ns=${ns%%=*}
		ip -n "$ns" link set lo up && ip -n "$ns" link set v0 up || return 1
		ip -n "$ns" addr add "$address/24" dev v0 || return 1
	done
}
