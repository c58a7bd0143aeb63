# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node b stores little, and its program does not read for longer than a silent peer is waited for. Its TCP answers all the
# while, so its connections stay.

. /lab/lib/rds.sh

US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")
PORT=5000 OTHER=5001

# ends: those of all connections of RDS.
ends() {
	rds_ss -tnH | awk '$1 == "ESTAB" { print $4, $5 }' | sort
}

# closed_window: whether the peer takes no more. Say `within`.
queued=
closed_window() {
	[ "$(ss -tnH 'dport = :16385' | awk '$3 > 0' | wc -l)" -ge 1 ] && [ "$(counted send_queued)" = "$queued" ] && return 0
	queued=$(counted send_queued)
	sleep 1
	return 1
}

load_rrds || die "the modules do not load"
barrier loaded
rds ping -c 1 -W 100s "$PEER" || die "no connection"
within 100 tcp_listed 8 || die "lanes are missing"
barrier connected
if [ "$NODE" = a ]; then
	plan 6
	barrier stopped
	command rds send --pattern "$MESSAGES" --end -s 64,5000 -W 1000s -I "$US:6000" "$PEER:$PORT" >/tmp/send 2>&1 &
	send=$!
	check "the other node takes no more" within 20 closed_window
	before=$(ends)
	check_eq "there are connections" "$(echo "$before" | wc -l)" 8
	sleep "$WAIT"
	check_eq "they are the same after $WAIT s" "$(ends)" "$before" || diag "$(rds info --paths)"
	# Its messages are with TCP, and nobody waits for them. What is sent next uses their memory when TCP has done with it.
	command rds send --pattern 1000 -s 16K -W 1000s -I "$US:6001" "$PEER:$OTHER" >/tmp/killed 2>&1 &
	killed=$!
	check "nor of another sender" within 20 closed_window
	kill -9 "$killed"
	command rds send --pattern 100 --end -s 16K -W 1000s -I "$US:6002" "$PEER:$OTHER" >/tmp/next 2>&1 &
	next=$!
	within 20 closed_window || die "it sends on and on"
	barrier waited
	check "all was sent" wait "$send"
	check "and by who came after the other one" wait "$next"
else
	plan 2
	# In pieces of 4096 bytes: less than the socket may store.
	echo 16 >/proc/sys/net/rds/ib/max_recv_allocation
	command rds recv --pattern -c "$MESSAGES" -W 1000s "$US:$PORT" >/tmp/recv 2>&1 &
	recv=$!
	command rds recv --streams 1 -W 1000s "$US:$OTHER" >/tmp/streams 2>&1 &
	streams=$!
	within 20 bound "$PORT" || die "rds recv does not bind: $(cat /tmp/recv)"
	within 20 bound "$OTHER" || die "rds recv does not bind: $(cat /tmp/streams)"
	kill -STOP "$recv" "$streams"
	barrier stopped
	barrier waited
	kill -CONT "$recv" "$streams"
	check "all that was sent arrives, in order" wait "$recv"
	check "what was on its way arrives as it was sent" wait "$streams"
	diag "$(cat /tmp/streams)"
fi
barrier end
