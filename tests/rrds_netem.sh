# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Streams of numbered messages both ways at once, over a link that loses, doubles and garbles packets: all
# messages arrive, once each and in order. Node a runs rrds, node b C, or rrds too ($BOTH). C does not get to the end
# of it with its usual retry count, nor with another C node: see admin.rst.

. /lab/lib/rds.sh

plan 5

US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")

# ended PID FILE: whether that stream of this node went well; if not, what it says and how things stand.
ended() {
	wait "$1" && return
	cat "$2"
	command rds info --connections --rdma --counters
	command rds info --paths
	command rds info --send | head -n 8
	command rds info --retransmit | head -n 8
	return 1
}

check "netem has a hand in it" eval "tc qdisc show dev eth0 | grep -q 'loss.*duplicate.*corrupt'"
carriers_up || die "no rxe"
if [ "$NODE" = a ] || [ "$BOTH" = 1 ]; then
	load_rrds rds_ib_retry_count="$RETRY_COUNT" || die "the modules do not load"
else
	modprobe rds_rdma rds_ib_retry_count="$RETRY_COUNT" || die "no rds_rdma"
fi
command rds recv --pattern -c "$MESSAGES" -W 100s "$US:6000" >/tmp/recv 2>&1 &
recv=$!
within 20 bound 6000 || die "rds recv does not bind: $(cat /tmp/recv)"
barrier listening
command rds send --pattern "$MESSAGES" -s "$SIZES" -W 100s "$PEER:6000" >/tmp/send 2>&1 &
send=$!
check "all messages are sent" ended "$send" /tmp/send
check "all have arrived here, once each and in order" ended "$recv" /tmp/recv
dropped=$(netem_dropped 0)
check "netem has dropped packets of this node" [ "$dropped" -ge $((MESSAGES / 100)) ]
barrier end
check "ping" rds ping -c 1 -W 100s "$PEER"
diag "$dropped packets dropped here; queue pairs broken: $(counted conn_reset)"
barrier pinged
