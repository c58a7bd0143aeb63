# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# What is charged to the memory cgroup of a user, and what comes of it when that is full: Documentation/sharing.rst.
# The cases are those of tests/programs/rds_shares.

. /lab/lib/rds.sh
. /lab/lib/shares.sh

FIRST=10.9.0.1
SECOND=10.9.0.2
LOOPBACK=127.0.0.1
# Nobody has this.
NOBODY=10.9.0.200
# What a cgroup may have that is to be full.
MOST=$((48 << 20))

# fills: has a user take all the memory that its cgroup may have, by a program that may not be killed for that.
fills() {
	: >/tmp/full
	/lab/bin/rds_shares 21 full "$LOOPBACK" 300 1000 /tmp/cgroup/full stay >/tmp/full 2>&1 &
	filler=$!
	within 200 [ -s /tmp/full ]
}

# charged: MiB that this user has.
charged() {
	echo $(($(cat /tmp/cgroup/full/memory.current) >> 20))
}

# without_the_full: that users of the module and memory are what they are without that user.
without_the_full() {
	[ "$(refcount rrds)" = "$before" ] && [ "$(charged)" -le 4 ]
}

# Results of this script.
RESULTS=12
plan $RESULTS
exec 5>/tmp/told
ip link set lo up
if ! cgroups sockets maps queued lists full; then
	[ -e /tmp/cgroup/cgroup.controllers ] || die "no cgroups"
	grep -qw memory /tmp/cgroup/cgroup.controllers && die "no cgroup for memory"
	for _ in $(seq $RESULTS); do
		skip "what is charged" "this kernel has no cgroup for memory"
	done
	exit
fi
veth_pair v0 v1 "$FIRST" "$SECOND" || die "no veth"
ip route add "$NOBODY/32" dev v0 || die "no route"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
load_all krdma rrds || die "the modules do not load"
before=$(refcount rrds)

check "sockets are charged" shares sockets 4000 /tmp/cgroup/sockets
check "maps of addresses are charged" shares maps 127.1.0.1 1000 /tmp/cgroup/maps
check "so is what is queued for a peer that is not there" shares queued "$FIRST" "$NOBODY" 40 /tmp/cgroup/queued
check "and lists" shares lists "$FIRST" "$NOBODY" 40 /tmp/cgroup/lists
echo "$MOST" >/tmp/cgroup/full/memory.max
check "a user takes all that it may have" fills
check "it is told that there is no more" grep -q "then: Cannot allocate memory" /tmp/full
sed -n 's/^# //p' /tmp/full >&5
check "nearly all of it is charged" [ "$(charged)" -ge 46 ]
check "others go on, on loopback" shares waits "$LOOPBACK"
check "and over a connection" rds ping -c 2 -i 0 -Q 5 -W 100s -I "$FIRST" "$SECOND"
kill "$filler"
wait "$filler"
check "what it had is given back" within 60 without_the_full
check_status 137 "a program that may be killed is" shares full "$LOOPBACK" 300 1000 /tmp/cgroup/full
check "and what it had is given back" within 60 without_the_full
diag "$(cat /tmp/told)"
