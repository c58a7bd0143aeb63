# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Shows a fault of rxe without any module of ours: a packet of QP 1, the connection manager's, that cannot be sent
# puts QP 1 into its error state, where it stays. That is so while the host has not the address that the packet is
# sent from. Tests that move addresses give them to the loopback device meanwhile (field.sh); once this one fails, as
# rxe survives it, they need that no more.

. /lab/lib/rds.sh

OTHER=$(peers)
US=$(addr4 "$NODE") PEER=$(addr4 "$OTHER")

if [ "$NODE" = a ]; then
	plan 5
else
	plan 1
fi
rxe_up || die "no rxe"
modprobe rds_rdma || die "no rds_rdma"
barrier loaded

# qp1: its state.
qp1() {
	rdma resource show qp | sed -n 's/.* type GSI state \([A-Z]*\) .*/\1/p'
}

# away: messages are under way while the address goes and comes.
away() {
	command rds ping -c 1000 -i 0.01 "$PEER" >/tmp/ping 2>&1 &
	sleep 2
	ip addr del "$US/24" dev eth0
	sleep 3
	ip addr add "$US/24" dev eth0
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
}

check "ping" rds ping -c 1 -W 60s "$PEER"
if [ "$NODE" = a ]; then
	ip addr add "$US/32" dev lo
	away
	ip addr del "$US/32" dev lo
	check_eq "QP 1 lives where the loopback device has the address" "$(qp1)" RTS
	check "and something is connected" rds ping -c 1 -Q 8 -W 60s "$PEER"
	away
	check_eq "it does not where no device has it" "$(qp1)" ERR
	check_not "and nothing is connected any more" rds ping -c 1 -Q 12 -W 10s "$PEER"
fi
barrier end
