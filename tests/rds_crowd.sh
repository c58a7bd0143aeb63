# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node hostile asks node small for a connection of every type of service, by IPv4 and IPv6, each a path of its
# own, and keeps them. There is a bound to what small makes of them, and node good is a peer as before.

. /lab/lib/rds.sh

# As many as hostile asks for.
ASKED=512

paths() {
	grep -c 'peer=' /sys/kernel/debug/rrds/paths
}

# paths_to NODE: by IPv4 and IPv6.
paths_to() {
	grep -c -e "peer=$(addr4 "$1") " -e "peer=$(addr6 "$1" | sed 's/::/:0:0:0:/') " /sys/kernel/debug/rrds/paths
}

no_paths_to() {
	[ "$(paths_to "$1")" -eq 0 ]
}

small() {
	local limit accepted

	plan 7
	load_all krdma rrds || die "no rrds"
	# One for each MiB.
	limit=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
	barrier loaded
	lookup accepted
	accepted=$REPLY
	diag "$accepted of $ASKED were accepted; $limit MiB of memory"
	if [ "$limit" -lt "$ASKED" ]; then
		check_eq "peers have as many paths as there are MiB" "$accepted" "$limit"
		check_eq "and no others" "$(paths)" "$limit"
	else
		skip "peers have as many paths as there are MiB" "this node has room for all"
		skip "and no others" "this node has room for all"
	fi
	check "a socket of this host gets a path" rds ping -c 1 -W 60s "$(addr4 good)"
	barrier kept
	barrier gone
	check "what nobody uses goes" within 100 no_paths_to hostile
	barrier empty
	barrier again
	check "then there is room for peers again" [ "$(paths_to hostile)" -eq 1 ]
	barrier end
	check "rrds unloads" unload rrds
	check "krdma unloads" unload krdma
}

good() {
	plan 2
	load_all krdma rrds || die "no rrds"
	barrier loaded
	barrier kept
	barrier gone
	barrier empty
	barrier again
	barrier end
	check "rrds unloads" unload rrds
	check "krdma unloads" unload krdma
}

# keep WHAT
keep() {
	load rds_hostile "peer=$(number4 small)" peer6_high=0xfd00000000000000 \
		"peer6_low=$(($(index_of small) + 1))" "patience=$((60000 * SLOW))" "keep=$1"
}

hostile() {
	plan 4
	load krdma || die "no krdma"
	stock_needs rds_hostile || die "no rdma_cm"
	barrier loaded
	check "each request is accepted or refused" keep 2
	diag "$(klog | grep 'rds_hostile: crowd: ')"
	publish accepted "$(klog | sed -n 's/^rds_hostile: crowd: \([0-9]*\) accepted.*/\1/p')"
	barrier kept
	unload rds_hostile
	barrier gone
	barrier empty
	check "one more is accepted" keep 1
	barrier again
	barrier end
	check "the module goes" unload rds_hostile
	check "krdma unloads" unload krdma
}

rxe_up || die "no rxe"
"$NODE"
