# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# A reader that does not read, in turn on each side, and what its sender meets: a full buffer, a congested
# port, notices of both. Node a runs rrds, node b C, or rrds too ($BOTH).

. /lab/lib/rds.sh

plan "$([ "$NODE" = a ] && echo 26 || echo 24)"

OTHER=$(peers)
US=$(addr4 "$NODE") PEER=$(addr4 "$OTHER")
# What a socket's buffers take.
BUFFER=$(($(cat /proc/sys/net/core/wmem_default) / 2))

rxe_up || die "no rxe"
if [ "$NODE" = a ] || [ "$BOTH" = 1 ]; then
	load_all krdma rrds || die "no rrds"
else
	modprobe rds_rdma || die "no rds_rdma"
fi
barrier loaded

told() {
	grep -q -e "^$1" /tmp/told || {
		cat /tmp/told
		return 1
	}
}

# told_bytes WHAT: how much it had sent then.
told_bytes() {
	sed -n "s/^$1 [0-9]* //p" /tmp/told
}

# queued PORT: the bytes that a socket of ours has received and not read.
queued() {
	command rds info -4 --receive | awk -v us="$US:$1" '$1 == us { sum += $5 } END { print sum + 0 }'
}

# over PID FILE: that it ended well; if not, what it said.
over() {
	wait "$1" || {
		cat "$2"
		return 1
	}
}

# least SIZE: the bytes that a send buffer holds for certain. rrds takes a quarter of 256 bytes for each message
# into account, C none of its memory.
least() {
	if [ "$1" -lt 64 ] && { [ "$NODE" = a ] || [ "$BOTH" = 1 ]; }; then
		echo $((BUFFER * $1 / 64))
	else
		echo "$BUFFER"
	fi
}

# slow READER PORT SIZE COUNT
slow() {
	what="to $1, messages of $3 bytes" port=$2

	if [ "$NODE" = "$1" ]; then
		command rds recv --streams 2 -W 200s "$US:$port" >/tmp/recv 2>&1 &
		reader=$!
		within 20 bound "$port" || die "rds recv does not bind: $(cat /tmp/recv)"
		kill -STOP "$reader"
		mute 0
		barrier "$what: begin"
		barrier "$what: full"
		unmute 0
		barrier "$what: congested"
		lookup "bytes$port"
		check "$what: what the reader has not read is bounded" \
			[ "$(queued "$port")" -gt 0 -a "$(queued "$port")" -le $((3 * BUFFER)) ]
		diag "$(queued "$port") bytes wait, $REPLY were sent"
		kill -CONT "$reader"
		check "$what: all is read, in order" over "$reader" /tmp/recv
		check "$what: both streams, complete" \
			grep -q ": $4 messages from number 0 on, ended\$" /tmp/recv
		barrier "$what: end"
		return
	fi
	barrier "$what: begin"
	/lab/bin/rds_congest 21 "$US" "$PEER" "$port" "$3" "$4" >/tmp/told 2>&1 &
	writer=$!
	check "$what: the send buffer gets full" within 60 told full
	bytes=$(told_bytes full)
	check "$what: with what it holds" [ "$bytes" -ge "$(least "$3")" -a "$bytes" -lt $((BUFFER + $3)) ]
	check_not "$what: and stays so" told writable
	barrier "$what: full"
	check "$what: there is room again" within 60 told writable
	check "$what: the port gets congested" within 100 told congested
	within 20 told waiting || die "no second sender"
	# It looks once before it waits; nothing tells when it waits.
	sleep 1
	check_not "$what: who waits for it waits" told waited
	check_not "$what: no notice comes" told notified
	barrier "$what: congested"
	publish "bytes$port" "$(told_bytes congested)"
	check "$what: all is sent in the end" within 200 told sent
	barrier "$what: end"
	diag "$(xargs </tmp/told)"
	kill "$writer"
	wait "$writer"
}

# refuses_more THAN: whether more messages were refused because their sender has its share.
refuses_more() {
	[ "$(counted ib_rx_alloc_limit)" -gt "$1" ]
}

# Node b sends more to a reader that does not read than node a keeps for one host. What a sends gets through.
share() {
	local limit=/proc/sys/net/rds/ib/max_recv_allocation was refused

	if [ "$NODE" = a ]; then
		was=$(cat "$limit")
		refused=$(counted ib_rx_alloc_limit)
		# In pages; a quarter of it is for one host. A socket's buffer is larger.
		echo 32 >"$limit"
		command rds recv --pattern -c 100 -W 200s "$US:5004" >/tmp/recv 2>&1 &
		reader=$!
		within 20 bound 5004 || die "rds recv does not bind: $(cat /tmp/recv)"
		kill -STOP "$reader"
		barrier "share: begin"
		check "a host's share: more is refused" within 20 refuses_more $((refused + 3))
		check "a host's share: what is sent to it arrives" rds send --pattern 1000 -s 4096 -W 100s "$PEER:5005"
		check "a host's share: more is refused still" within 20 refuses_more "$(counted ib_rx_alloc_limit)"
		kill -CONT "$reader"
		check "a host's share: all is read, in order" over "$reader" /tmp/recv
		echo "$was" >"$limit"
		barrier "share: end"
		return
	fi
	command rds recv --pattern -c 1000 -W 200s "$US:5005" >/tmp/recv 2>&1 &
	reader=$!
	within 20 bound 5005 || die "rds recv does not bind: $(cat /tmp/recv)"
	barrier "share: begin"
	check "a host's share: all is acknowledged in the end" rds send --pattern 100 -s 4096 -W 200s "$PEER:5004"
	check "a host's share: all came that was sent to it" over "$reader" /tmp/recv
	barrier "share: end"
}

slow a 5000 4096 600
slow b 5001 4096 600
slow a 5002 16 30000
slow b 5003 16 30000
share
barrier end
