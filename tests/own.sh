# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two addresses of one host, each with a device, and a cable between them.

. /lab/lib/rds.sh

plan 16
PACKETS=0

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
load krdma || die "no krdma"
load rrds || die "no rrds"

# packets: how many both devices have sent.
packets() {
	cat /sys/class/net/v0/statistics/tx_packets /sys/class/net/v1/statistics/tx_packets |
		awk '{ sum += $1 } END { print sum }'
}

# carried: how many ends of RDMA connections there are.
carried() {
	command rds info --json -n | awk '/"infiniband"/ { n++ } END { print n + 0 }'
}

# exchange SERVER CLIENT: messages of all sizes to the server and back, each with such a choice of a transport.
exchange() {
	local before

	before=$(packets)
	# shellcheck disable=SC2086 # words on purpose
	command rds $1 stress --listen 10.9.0.2:4100 --once >/tmp/server 2>&1 &
	within 20 bound 4100 || return 1
	# shellcheck disable=SC2086 # words on purpose
	rds $2 stress -I 10.9.0.1 -n 2 -d 8 -s 0-100,5000,64K,1M -c "$MESSAGES" -i 0 10.9.0.2:4100 || return 1
	wait $! || {
		cat /tmp/server
		return 1
	}
	PACKETS=$(($(packets) - before))
}

prefer_loopback 1
check "messages from one address to the other" exchange "" ""
check_le "they stay in the host" "$PACKETS" 20
check_eq "and take no connection" "$(carried)" 0
check "so does what an address sends to itself" eval \
	"rds ping -I 10.9.0.1 -c 3 -i 0 10.9.0.1 && [ \"\$(carried)\" = 0 ]"
check "a ping is answered" rds ping -I 10.9.0.1 -c 3 -i 0 10.9.0.2

check "where one program wants RDMA" exchange "" "--transport rdma"
check "its messages go over the wire" [ "$PACKETS" -ge "$MESSAGES" ]
check_eq "by a connection" "$(carried)" 2
check "where both want it" exchange "--transport rdma" "--transport rdma"
check "all go over the wire" [ "$PACKETS" -ge $((2 * MESSAGES)) ]
check "a ping that wants RDMA is answered" rds --transport rdma ping -I 10.9.0.1 -c 3 -i 0 -W 60s 10.9.0.2

check "with neither, all stay in the host again" exchange "" ""
check_le "beside the connection" "$PACKETS" 20

prefer_loopback 0
check "if the administrator wants RDMA" exchange "" ""
check "all go over the wire without a word of the program" [ "$PACKETS" -ge $((2 * MESSAGES)) ]
check "the modules unload" unload rrds krdma
