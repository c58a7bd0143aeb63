# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# 300 pings over the bad link, 300 over the good one. (busybox's ping sends some more when it adapts
# its pace.) Of 600 packets with 10 % loss, fewer than 20 lost or more than 120 would be one chance in
# more than a million.

# Node a alone sends the pings.
if [ "$NODE" = a ]; then
	plan 7
else
	plan 3
fi
other=$(peers)

# pings LINK: how many of at least 300 requests were not answered.
pings() {
	ping -A -c 300 -w 600 -q "$(addr4 "$other" "$1")" >/tmp/ping
	sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) packets received.*/\1 \2/p' /tmp/ping |
		awk '{ print $1 - $2 }'
}

duplicates() {
	sed -n 's/.* \([0-9]*\) duplicates.*/\1/p' /tmp/ping
}

# counter DEVICE NAME
counter() { cat "/sys/class/infiniband/$1/ports/1/hw_counters/$2"; }

check "netem is on the first link only" eval \
	"tc qdisc show dev eth0 | grep -q netem && ! tc qdisc show dev eth1 | grep -q netem"
rxe_up || die "no rxe"
need_uverbs || die "no /dev/infiniband"
barrier up
if [ "$NODE" = a ]; then
	lost=$(pings 0)
	diag "$(tail -n 2 /tmp/ping)"
	check "the bad link loses packets, but not all" [ "$lost" -ge 20 -a "$lost" -le 120 ]
	check "it duplicates packets" [ "$(duplicates || echo 0)" -ge 5 ]
	check "it delays them by 5 ms each way" eval \
		"tail -n 1 /tmp/ping | sed 's/.*= \\([0-9]*\\)\\..*/\\1/' | grep -q -x '[1-9][0-9]\\+'"
	lost=$(pings 1)
	check_eq "the good link loses none" "$lost" 0
fi
barrier pinged
dropped=$(netem_dropped 0)
check "netem counts what it dropped on this end" [ "$dropped" -ge 10 ]
diag "$dropped packets dropped here"
# What is lost is sent again after a quarter of a second.
# shellcheck disable=SC2034 # for rc_pingpong
QP_TIMEOUT=16
if [ "$NODE" = a ]; then
	barrier listening
	check "RC ping-pong over the bad link" rc_pingpong rxe0 1 "$(addr4 b)"
else
	rc_pingpong rxe0 1 >/tmp/server 2>&1 &
	server=$!
	within 10 rc_serves || diag "$(cat /tmp/server)"
	barrier listening
	check "RC ping-pong over the bad link" wait "$server"
fi
diag "retransmissions: $(counter rxe0 completer_retry_err) out of sequence: $(counter rxe0 out_of_seq_request)"
barrier end
