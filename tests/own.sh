# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two addresses of one host, each with a device, and a cable between them.

. /lab/lib/rds.sh

plan 22
THERE=0
BACK=0

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
load krdma || die "no krdma"
load rrds || die "no rrds"

# bytes DEVICE: how many it has sent.
bytes() {
	cat "/sys/class/net/$1/statistics/tx_bytes"
}

# exchange SERVER CLIENT: messages of all sizes to the server and back, each with such a choice of a transport. $THERE and
# $BACK are how many bytes went over the wire.
exchange() {
	local there back

	there=$(bytes v0)
	back=$(bytes v1)
	# shellcheck disable=SC2086 # words on purpose
	command rds $1 stress --listen 10.9.0.2:4100 --once >/tmp/server 2>&1 &
	within 20 bound 4100 || return 1
	# shellcheck disable=SC2086 # words on purpose
	rds $2 stress -I 10.9.0.1 -n 2 -d 8 -s 0-100,5000,64K,1M -c "$MESSAGES" -i 0 10.9.0.2:4100 || return 1
	wait $! || {
		cat /tmp/server
		return 1
	}
	THERE=$(($(bytes v0) - there))
	BACK=$(($(bytes v1) - back))
	echo "$THERE bytes there, $BACK back"
}

# answers: how many have come.
answers() {
	grep -c ': seq' /tmp/ping
}

# pinged COUNT: whether so many have.
pinged() {
	[ "$(answers)" -ge "$1" ]
}

# moves: an address leaves this host while a program sends to it, and comes back.
moves() {
	local pinger before away

	ip addr add 10.9.0.77/32 dev lo
	command rds ping -I 10.9.0.1 -c 10000 -i 20ms -W 2s 10.9.0.77 >/tmp/ping 2>&1 &
	pinger=$!
	within 20 pinged 3 || return 1
	ip addr del 10.9.0.77/32 dev lo
	usleep 200000
	before=$(answers)
	usleep 500000
	away=$(answers)
	ip addr add 10.9.0.77/32 dev lo
	within 20 pinged $((away + 3)) || return 1
	kill "$pinger"
	wait "$pinger"
	echo "$before answers, $away when it was away"
	[ "$away" = "$before" ]
}

FEW=20000
MANY=$((MESSAGES * 10000))

prefer_loopback 1
check "messages from one address to the other" exchange "" ""
check_le "they stay in the host" $((THERE + BACK)) $FEW
check_eq "and take no connection" "$(carried)" 0
check "a ping is answered" rds ping -I 10.9.0.1 -c 3 -i 0 10.9.0.2
check "and what an address sends to itself" rds ping -I 10.9.0.1 -c 3 -i 0 10.9.0.1
check_eq "without a connection" "$(carried)" 0
check "what leaves with its address is not answered here, and is when it is back" moves
check "a kernel module comes" load rds_echo local=$(((10 << 24) + (9 << 16) + 2)) tcp=0
check "it answers" rds ping -I 10.9.0.1 -c 20 -i 0 -s 5000 -W 60s 10.9.0.2:4600
check "and who has chosen RDMA" rds --transport rdma ping -I 10.9.0.1 -c 20 -i 0 -s 5000 -W 60s 10.9.0.2:4600
unload rds_echo

check "where one program wants RDMA" exchange "" "--transport rdma"
check_le "its messages go over the wire" "$MANY" "$THERE"
diag "$THERE there, $BACK back"
check_le "the answers do not" "$BACK" $((THERE / 4))
check "by a connection" [ "$(carried)" -ge 2 ]
check "where both want it" exchange "--transport rdma" "--transport rdma"
diag "$THERE there, $BACK back"
check_le "all go over the wire" "$MANY" "$BACK"
check "a ping that wants RDMA is answered" rds --transport rdma ping -I 10.9.0.1 -c 3 -i 0 -W 60s 10.9.0.2

check "with neither, all stay in the host again" exchange "" ""
check_le "beside the connection" $((THERE + BACK)) $FEW

prefer_loopback 0
check "if the administrator wants RDMA" exchange "" ""
diag "$THERE there, $BACK back"
check_le "all go over the wire without a word of the program" "$MANY" "$BACK"
check "the modules unload" unload rrds krdma
