# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Modules on two nodes with rrds: round trips by the interface of rrds (rds_pingpong with rds_echo) beside the same
# by plain sockets (rds_sock on both), round by round. The table is for reading: what is decided here is that all
# answers come, and that none of those that are longer than 1 KiB was copied.

. /lab/lib/rds.sh

# took MODULE: the nanoseconds that it tells of the last game.
took() {
	dmesg | sed -n "s/.*$1: .* round trips, \([0-9]*\) ns each\$/\1/p" | tail -n 1
}

# api LENGTH WINDOW
api() {
	load rds_pingpong local="$(number4 "$NODE")" peer="$(number4 "$OTHER")" length="$1" window="$2" count="$COUNT" || return 1
	unload rds_pingpong
	echo "api $1 $2 $(took rds_pingpong)" >>/tmp/times
}

# sockets LENGTH WINDOW
sockets() {
	load rds_sock local="$US" peer="$PEER" fixed="$1" window="$2" count="$COUNT" || return 1
	unload rds_sock
	echo "sockets $1 $2 $(took rds_sock)" >>/tmp/times
}

# games: each of both, in another order from round to round.
games() {
	local round game

	for round in $(seq "$ROUNDS"); do
		for game in "64 1" "64 16" "4096 1" "4096 16" "65536 4"; do
			# shellcheck disable=SC2086 # words on purpose
			if [ $((round % 2)) = 1 ]; then
				api $game && sockets $game || return 1
			else
				sockets $game && api $game || return 1
			fi
		done
	done
}

# table: medians, and what a round trip by sockets takes for each of ours.
table() {
	sort -k 2,2n -k 3,3n -k 1,1 -k 4,4n /tmp/times | awk '
		{ key = $2 " " $3; times[$1, key, ++n[$1, key]] = $4; if (!(key in seen)) { seen[key]; keys[++k] = key } }
		function median(kind, key) { return times[kind, key, int((n[kind, key] + 1) / 2)] / 1000 }
		END {
			printf "%8s %6s %12s %12s %8s\n", "bytes", "window", "api, us", "sockets, us", "ratio"
			for (i = 1; i <= k; i++) {
				split(keys[i], part)
				a = median("api", keys[i]); s = median("sockets", keys[i])
				printf "%8d %6d %12.1f %12.1f %8.2f\n", part[1], part[2], a, s, s / a
			}
		}'
}

OTHER=$(peers)
US=$(addr4 "$NODE") PEER=$(addr4 "$OTHER")
rxe_up || die "no rxe"
load_all krdma rrds || die "the modules do not load"
if [ "$NODE" = b ]; then
	plan 2
	load rds_echo local="$(number4 "$NODE")" || die "rds_echo does not load"
	load rds_sock local="$US" || die "rds_sock does not load"
	barrier up
	barrier played
	copied=$(counted recv_bytes_copied)
	barrier "long ones"
	barrier "long ones end"
	check_eq "the server's node copies none of the longer messages" "$(counted recv_bytes_copied)" "$copied"
	unload rds_sock
	unload rds_echo
	check "rrds unloads" unload rrds
	barrier end
	exit 0
fi

plan 4
barrier up
check "all games" games
table | while read -r line; do diag "$line"; done
barrier played
copied=$(counted recv_bytes_copied)
barrier "long ones"
check "messages of 64 KiB" api 65536 4
check_eq "the client's node copies none of them" "$(counted recv_bytes_copied)" "$copied"
barrier "long ones end"
check "rrds unloads" unload rrds
barrier end
