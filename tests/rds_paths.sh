# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# One user takes all that it can get of what all share; another one is not to notice.

. /lab/lib/rds.sh

FIRST=10.9.0.1
SECOND=10.9.0.2
# Nobody has these.
NOBODY=10.9.0.200
NOBODIES=10.10.0.0
ONE=65534
OTHER=1000

# ask WHAT USER ARGUMENT...: in the foreground; what it says is in /tmp/asked.
ask() {
	/lab/bin/rds_paths "$@" >/tmp/asked
}

# take WHAT ARGUMENT...: in the background, as user ONE, until `give_back`; what it has taken is in /tmp/taken.
take() {
	local what="$1"

	shift
	: >/tmp/taken
	/lab/bin/rds_paths "$what" "$ONE" "$@" >/tmp/taken &
	taker=$!
	within 100 [ -s /tmp/taken ]
}

give_back() {
	kill "$taker"
	wait "$taker"
}

# told WHAT FILE: whether it ends like that.
told() {
	diag "$(cat "$2")"
	grep -q " $1\$" "$2"
}

paths_to() {
	grep -c "peer=$1" /sys/kernel/debug/rrds/paths
}

# no_paths_to PEER: whether there is none any more.
no_paths_to() {
	[ "$(paths_to "$1")" -eq 0 ]
}

# waits PID: whether it has not ended.
waits() {
	sleep 1
	kill -0 "$1"
}

plan 22
ip link set lo up
veth_pair v0 v1 "$FIRST" "$SECOND" || die "no veth"
for nobody in "$NOBODY/32" "$NOBODIES/16"; do
	ip route add "$nobody" dev v0 || die "no route"
done
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
load_all krdma rrds || die "the modules do not load"

# The slots of a path's queue.
check "a user fills the queue to a host that is not there" take fill "$FIRST" "$NOBODY" 40
check "it is told to try again later" told EAGAIN /tmp/taken
check "another user's message is queued" ask send "$OTHER" "$FIRST" "$NOBODY" 5000
check "so is root's" ask send 0 "$FIRST" "$NOBODY" 5000
check_status 1 "one more of the first user is not" ask send "$ONE" "$FIRST" "$NOBODY" 0
check "it is to be tried again later" told EAGAIN /tmp/asked
/lab/bin/rds_paths send "$ONE" "$FIRST" "$NOBODY" 100000 >/tmp/waited &
waiter=$!
check "if it may wait it does" waits "$waiter"
give_back
check "until there is room" wait "$waiter"
check "nothing is left of the path" within 60 no_paths_to "$NOBODY"

# Paths.
check "a user sends to very many hosts that are not there" take paths "$FIRST" "$NOBODIES" 60000
check "in the end it is refused" told ENOMEM /tmp/taken
check "another user's message is not" ask send "$OTHER" "$FIRST" "$NOBODY" 5000
check "nor are root's" rds ping -c 2 -i 0 -W 100s -I "$FIRST" "$SECOND"
give_back
check "nothing is left of the paths" within 100 no_paths_to "$NOBODIES"
check "nor of the others to nobody" within 60 no_paths_to "10\.10\."
check "the one to a peer stays" [ "$(paths_to "$SECOND")" -gt 0 ]

# What only this host can reach is no way for a device.
check_status 1 "a message to a loopback address from another" ask send "$ONE" "$FIRST" 127.0.0.1 0
check "is refused" told EINVAL /tmp/asked
check "new connections are made after it" rds ping -c 2 -i 0 -Q 3 -W 100s -I "$FIRST" "$SECOND"

# A connection that is lost while nobody uses it is remembered: numbers go on.
check "the connections are lost" rxe_del rxe1
check "and made anew" rxe_add rxe1 v1
check "messages go on" rds ping -c 2 -i 0 -W 100s -I "$FIRST" "$SECOND"
