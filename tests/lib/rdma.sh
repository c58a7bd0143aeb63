# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# RDMA devices over the node's network devices.

# rxe_add NAME NETDEV: a software RoCE device; returns when its port is active.
rxe_add() {
	modprobe rdma_rxe && rdma link add "$1" type rxe netdev "$2" && within 10 rxe_active "$1"
}

rxe_del() {
	rdma link delete "$1"
}

rxe_active() {
	grep -q ACTIVE "/sys/class/infiniband/$1/ports/1/state" 2>/dev/null
}

rxe_exists() {
	[ -d "/sys/class/infiniband/$1" ]
}

# rxe_up: rxe0 on eth0, rxe1 on eth1, ... for every NIC of the node.
rxe_up() {
	local slot

	for slot in $NICS; do
		rxe_add "rxe$slot" "eth$slot" || return 1
	done
}

rxe_down() {
	local slot

	for slot in $NICS; do
		rxe_del "rxe$slot" || return 1
	done
}

# rdma_resources: what every device holds, one line each, without the devices' numbers, which grow, and
# their order. Equal before and after, or something is left.
rdma_resources() {
	rdma resource show | sed 's/^[0-9]*: //; s/ *$//' | sort
}

# rdma_resources_are WHAT: as printed before. Say `within`: what belongs to a peer's connection may go later.
rdma_resources_are() {
	[ "$(rdma_resources)" = "$1" ] || {
		rdma_resources
		return 1
	}
}

# rdma_devices: the names of all RDMA devices.
rdma_devices() {
	local dev

	for dev in /sys/class/infiniband/*; do
		[ ! -e "$dev" ] || echo "${dev##*/}"
	done | sort | xargs
}

# owners KIND DEVICE: the kernel owners, in brackets, of a device's objects (pd, cq, qp, cm_id, ...), sorted, each once.
owners() {
	rdma resource show "$1" dev "$2" 2>/dev/null | sed -n 's/.* comm \(\[[^]]*\]\).*/\1/p' | sort -u | xargs
}

# need_uverbs: the device files that programs such as ibv_devinfo open.
need_uverbs() {
	modprobe ib_uverbs || return 1
	mkdir -p /dev/infiniband
	within 10 test -e /dev/infiniband/uverbs0
}

# rc_pingpong DEVICE GID [ADDRESS]: a hundred messages there and back over a reliable connection, as the one that
# waits for the other, or that goes to this address. Each is sent again until it has arrived: for nine seconds, as
# the other node may stand still for a while, or what $QP_TIMEOUT makes of it. The test names ib_send_lat among its
# tools. (ibv_rc_pingpong gives up after half a second.)
rc_pingpong() {
	timeout 60 ib_send_lat -d "$1" -x "$2" -F -m 4096 -s 4096 -n 100 -u "${QP_TIMEOUT:-18}" ${3:+"$3"}
}

# rc_serves: whether the one that waits does so.
rc_serves() {
	netstat -ltn | grep -q ':18515 '
}
