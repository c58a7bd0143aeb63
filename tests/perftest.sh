# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The same messages between the same two nodes, by rdma_pingpong in the kernel and by perftest's programs
# in user space. What is slow here is the emulator: only the ratios say something.

if [ "$NODE" = a ]; then
	plan 8
else
	plan 4
fi

# Bytes, and messages of that size.
LATENCIES="1 64 4096 65536 1048576"
BANDWIDTHS="64 4096 65536 1048576"

# count SIZE: fewer of the large ones.
count() {
	if [ "$1" -gt 65536 ]; then
		echo $((COUNT / 8 > 8 ? COUNT / 8 : 8))
	else
		echo "$COUNT"
	fi
}

# serves PROGRAM: it waits for its client, which shows as a listening socket.
serves() {
	netstat -ltn | grep -q ':18515 '
}

# counters: what rxe has counted of packets that were sent twice. An acknowledgement comes after 64
# packets: an emulator takes longer for those than is usual to wait, so ack_timeout and -u say a second.
counters() {
	rdma statistic show link rxe0/1 | tr -s ' \n' ' ' |
		grep -o 'duplicate_request [0-9]*\|out_of_seq_request [0-9]*\|rcvd_rnr_err [0-9]*\|retry[a-z_]* [0-9]*' |
		xargs
}

over() {
	logged 'rdma_pingpong: .* games with' || logged 'rdma_pingpong: .* messages of' ||
		logged 'rdma_pingpong: .* failed'
}

rxe_up || die "no rxe"
need_uverbs || die "no /dev/infiniband"
load krdma || die "krdma does not load"
resources=$(rdma_resources)
mark

if [ "$NODE" = b ]; then
	load rdma_pingpong ack_timeout=18 || die "the module does not load"
	barrier listening
	barrier kernel_is_done
	check "rdma_pingpong unloads" unload rdma_pingpong
	for size in $LATENCIES; do
		ib_send_lat -d rxe0 -F -u 18 -s "$size" -n "$(count "$size")" >/tmp/lat 2>&1 &
		within 30 serves || die "ib_send_lat does not listen: $(cat /tmp/lat)"
		barrier "lat_$size"
		wait $! || diag "$(cat /tmp/lat)"
		barrier "lat_done_$size"
	done
	for size in $BANDWIDTHS; do
		ib_send_bw -d rxe0 -F -u 18 -s "$size" -n "$(count "$size")" -t "$WINDOW" -r $((2 * WINDOW)) \
			>/tmp/bw 2>&1 &
		within 30 serves || die "ib_send_bw does not listen: $(cat /tmp/bw)"
		barrier "bw_$size"
		wait $! || diag "$(cat /tmp/bw)"
		barrier "bw_done_$size"
	done
	diag "packets: $(counters)"
else
	peer="peer=$(number4 b)"
	barrier listening
	diag "before:                  $(counters)"
	check "rdma_pingpong plays" eval "load rdma_pingpong '$peer' 'rounds=$COUNT' max_size=65536 timeout=60000 ack_timeout=18 &&
		calmly 200 over && logged 'all data intact'"
	klog | sed -n 's/^rdma_pingpong: *\([0-9]* \)/\1/p' >/tmp/rtt
	unload rdma_pingpong || die "the module does not unload"
	diag "after sizes up to 65536: $(counters)"
	mark
	check "with large messages too" eval "load rdma_pingpong '$peer' 'rounds=$(count 1048576)' timeout=60000 ack_timeout=18 &&
		calmly 200 over && logged 'all data intact'"
	klog | sed -n 's/^rdma_pingpong: *\(1048576 \)/\1/p' >>/tmp/rtt
	unload rdma_pingpong || die "the module does not unload"
	diag "after 1048576:           $(counters)"
	: >/tmp/ours_bw
	for size in $BANDWIDTHS; do
		mark
		load rdma_pingpong "$peer" "max_size=$size" "rounds=$(count "$size")" "window=$WINDOW" \
			timeout=60000 ack_timeout=18 || break
		calmly 100 over
		klog | sed -n 's/^rdma_pingpong: .*: \([0-9]*\) messages of \([0-9]*\) bytes in \([0-9]*\) .*/\2 \1 \3/p' \
			>>/tmp/ours_bw
		unload rdma_pingpong
	done
	check_eq "rdma_pingpong sends one way, of each size" "$(wc -l </tmp/ours_bw)" \
		"$(echo "$BANDWIDTHS" | wc -w)"
	diag "after one way:           $(counters)"
	barrier kernel_is_done

	: >/tmp/theirs
	for size in $LATENCIES; do
		barrier "lat_$size"
		ib_send_lat -d rxe0 -F -u 18 -s "$size" -n "$(count "$size")" "$(addr4 b)" >/tmp/lat 2>&1 ||
			diag "$(cat /tmp/lat)"
		# bytes, iterations, min, max, typical: half a round trip in microseconds.
		awk -v size="$size" '$1 == size && NF >= 5 { print size, $5 * 2 }' /tmp/lat >>/tmp/theirs
		barrier "lat_done_$size"
	done
	diag "after ib_send_lat:       $(counters)"
	: >/tmp/theirs_bw
	for size in $BANDWIDTHS; do
		barrier "bw_$size"
		ib_send_bw -d rxe0 -F -u 18 -s "$size" -n "$(count "$size")" -t "$WINDOW" -r $((2 * WINDOW)) \
			"$(addr4 b)" >/tmp/bw 2>&1 || diag "$(cat /tmp/bw)"
		# bytes, iterations, peak, average in MiB/s, messages in millions a second.
		awk -v size="$size" '$1 == size && NF >= 5 { print size, $4, $5 }' /tmp/bw >>/tmp/theirs_bw
		barrier "bw_done_$size"
	done
	diag "after ib_send_bw:        $(counters)"

	check_eq "ib_send_lat has measured each size" "$(wc -l </tmp/theirs)" "$(echo "$LATENCIES" | wc -w)"
	check_eq "ib_send_bw has measured each size" "$(wc -l </tmp/theirs_bw)" "$(echo "$BANDWIDTHS" | wc -w)"
	diag "round trips:  bytes  rdma_pingpong   ib_send_lat x 2   ratio (median, µs)"
	awk 'NR == FNR { theirs[$1] = $2; next }
		$1 in theirs { printf "#          %9d %14.1f %17.1f %7.2f\n", $1, $4, theirs[$1], $4 / theirs[$1] }' \
		/tmp/theirs /tmp/rtt
	diag "one way:      bytes  rdma_pingpong        ib_send_bw   ratio (MiB/s)"
	awk 'NR == FNR { theirs[$1] = $2; next }
		$1 in theirs { ours = $1 * $2 / 1048576 / ($3 / 1000000)
			printf "#          %9d %14.2f %17.2f %7.2f\n", $1, ours, theirs[$1], ours / theirs[$1] }' \
		/tmp/theirs_bw /tmp/ours_bw
	check_not "nothing has failed" logged 'rdma_pingpong: .*failed'
fi
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
check "krdma unloads" unload krdma
[ "$NODE" = a ] || check_not "nothing has failed" logged 'rdma_pingpong: .*failed'
barrier end
