# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# A stream of messages from one node to the other, verified and in order, while the receiver's and then
# the sender's link goes down, and the device of node a is removed. Node a runs rrds, node b C.

. /lab/lib/rds.sh

plan 4

US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")

rxe_up || die "no rxe"
if [ "$NODE" = a ]; then
	load krdma || die "no krdma"
	load rrds || die "no rrds"
else
	modprobe rds_rdma || die "no rds_rdma"
fi
barrier loaded

# flaps: what goes and comes of node a: its link, then its device.
flaps() {
	for _ in $(seq "$ROUNDS"); do
		sleep 1
		ip link set eth0 down && sleep 1 && ip link set eth0 up && sleep 2 &&
			rxe_del rxe0 && sleep 1 && rxe_add rxe0 eth0 || return 1
	done
}

# stream NAME TO PORT: to node TO, with flaps of node a meanwhile.
stream() {
	local name="$1" to="$2" port="$3" work

	if [ "$NODE" = "$to" ]; then
		command rds recv --pattern -c "$MESSAGES" -W 100s "$US:$port" &
		work=$!
		within 20 bound "$port" || die "rds recv does not bind"
		barrier "$name"
	else
		barrier "$name"
		command rds send --pattern "$MESSAGES" -s 64,5000 -W 100s "$PEER:$port" &
		work=$!
	fi
	if [ "$NODE" = a ]; then
		check "$name: the link and the device go and come" flaps
	fi
	check "$name: all messages, in order" wait "$work"
	barrier "$name end"
}

stream "from C" a 6000
stream "to C" b 6001
[ "$NODE" = a ] || {
	check "the kernel's own RDS is still there" rds ping -c 1 -W 60s "$PEER"
	check "and so is the device" [ -d /sys/class/infiniband/rxe0 ]
}
barrier end
