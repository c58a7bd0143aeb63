# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The topologies that tests with one node stand on. Counting the bytes on the wire shows that the
# kernel does not take the short way through its own tables.

plan 10

# pingpong GID ADDRESS: an RC ping-pong between rxe0 and rxe1.
pingpong() {
	local server

	rc_pingpong rxe0 "$1" >/tmp/server 2>&1 &
	server=$!
	within 10 rc_serves || return 1
	rc_pingpong rxe1 "$1" "$2" || return 1
	wait "$server"
}

# gid_of DEVICE ADDRESS: the index of the GID with this IPv4 address.
gid_of() {
	local want at

	want=$(echo "$2" | awk -F . '{ printf "0000:0000:0000:0000:0000:ffff:%02x%02x:%02x%02x", $1, $2, $3, $4 }')
	for at in 0 1 2 3 4; do
		if [ "$(cat "/sys/class/infiniband/$1/ports/1/gids/$at")" = "$want" ]; then
			echo "$at"
			return 0
		fi
	done
	return 1
}

modprobe ib_uverbs || die "no ib_uverbs"
check "a veth pair in one namespace" veth_pair v0 v1 10.9.0.1 10.9.0.2
check "an RDMA device on each end" eval "rxe_add rxe0 v0 && rxe_add rxe1 v1"
need_uverbs || die "no /dev/infiniband"
load_all krdma rdma_devinfo rrds || die "the modules do not load"
check "ping goes over the wire" ping -c 3 -i 0.2 -w 100 -I 10.9.0.2 10.9.0.1
before=$(cat /sys/class/net/v0/statistics/rx_bytes)
check "so does an RC ping-pong" pingpong "$(gid_of rxe0 10.9.0.1)" 10.9.0.1
after=$(cat /sys/class/net/v0/statistics/rx_bytes)
check "the bytes were counted there" [ $((after - before)) -ge 400000 ]
{ rxe_del rxe1 && rxe_del rxe0; } || die "the devices do not go"

check "two namespaces joined by a cable" netns_pair left right 10.8.0.1 10.8.0.2
check "they reach each other" ip netns exec left ping -c 3 -i 0.2 -w 100 10.8.0.2
check "an RDMA device in each" eval "ip netns exec left rdma link add rxe0 type rxe netdev v0 &&
	ip netns exec right rdma link add rxe1 type rxe netdev v0"
check "a Rust client is told of both" within 5 eval \
	"[ \$(logged_times 'rdma_devinfo: hca_id:[[:space:]]*rxe[01]\$') = 4 ]"
check "the modules unload" unload rrds rdma_devinfo krdma
