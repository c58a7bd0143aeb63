# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two devices joined by a cable, a program that makes calls at random, and what must hold meanwhile and afterwards.

. /lab/lib/rds.sh

plan 8

FIRST=10.9.0.1 SECOND=10.9.0.2
FIRST6=fd00:9::1 SECOND6=fd00:9::2
# Addresses that nobody has, behind the first device.
FAR=10.9.0.200 OTHER_FAR=10.9.0.201 FAR6=fd00:9::200

# link_local DEVICE: its address, if it has one.
link_local() {
	ip -6 -o addr show dev "$1" scope link | sed -n 's/.*inet6 \([^/]*\).*/\1/p' | grep -m 1 .
}

# device DEVICE IPV4 IPV6: as the program wants it.
device() {
	echo "$2,$3,$(link_local "$1"),$(cat "/sys/class/net/$1/ifindex")"
}

# fuzz NUMBER OPTION...: what it says goes to the results.
fuzz() {
	local number="$1" status=0

	shift
	[ "$number" = random ] || set -- --seed "$number" "$@"
	[ "$DEVICES" = 0 ] || set -- --device "$(device v0 $FIRST $FIRST6)" \
		--device "$(device v1 $SECOND $SECOND6)" --far $FAR,$OTHER_FAR,$FAR6 "$@"
	/lab/bin/rds-sockfuzz --patience "$SLOW" --calls "$CALLS" --lanes "$LANES" "$@" >/tmp/fuzz.pipe 2>&1 ||
		status=$?
	return "$status"
}

# told COMMAND...: its output goes to the results as it comes.
told() {
	local status=0

	mkfifo /tmp/fuzz.pipe
	tee /tmp/fuzz.said </tmp/fuzz.pipe | while IFS= read -r line; do echo "# $line"; done >&5 &
	"$@" || status=$?
	wait $!
	rm /tmp/fuzz.pipe
	return "$status"
}

# calls: how many the last run has made.
calls() {
	sed -n 's/^seed .*, calls \([0-9]*\),.*/\1/p' /tmp/fuzz.said
}

# random_calls: what is made with rrds loaded anew, and weighed afterwards.
random_calls() {
	told fuzz "$SEED" --first 1000 --seconds "$TIME" --least "$LEAST" --total "$TOTAL"
}

# again: as many calls once more.
again() {
	load rrds && random_calls && within 20 unload_rrds
}

exec 5>&1
ip link set lo up
veth_pair v0 v1 $FIRST $SECOND || die "no veth"
veth_pair6 v0 v1 $FIRST6 $SECOND6 || die "no IPv6"
ip route add $FAR/31 dev v0 || die "no route"
ip route add $FAR6/128 dev v0 || die "no route"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
within 10 link_local v1 >/dev/null || die "no link-local address"
stock_needs krdma || die "the stock modules do not load"
before=$(rdma_resources)

# What is made once, is made.
load_all krdma rrds || die "the modules do not load"
check "a few calls" told fuzz 1 --seconds 5
check "rrds unloads" within 20 unload_rrds
memory_mark
load rrds || die "rrds does not load"
# What is wrong is said again: it may be far up.
check "calls at random: all give what they may" random_calls ||
	diag "$(grep -A 8 'NOT RIGHT' /tmp/fuzz.said | tail -n 18)"
check "there were $LEAST at least" [ "$(calls)" -ge "$LEAST" ]
check "rrds unloads again" within 20 unload_rrds
# Hundreds of processes and namespaces leave slabs half filled, now and then by more than the noise allows.
check_memory "nothing is left of it" 1000 again
check "krdma unloads" unload krdma
check "nothing is left on the devices" within 20 rdma_resources_are "$before"
