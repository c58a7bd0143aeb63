# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# One user takes all that it can get of what all share; another one is not to notice.

. /lab/lib/rds.sh

FIRST=10.9.0.1
SECOND=10.9.0.2
FIRST6=fd00:9::1
SECOND6=fd00:9::2
# Nobody has these.
NOBODY=10.9.0.200
NOBODIES=10.10.0.0
READER=4300
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

# path_of LOCAL PEER, no_path LOCAL PEER: the paths of the usual type of service between these, and whether there is
# none any more.
path_of() {
	grep -c "local=$1 peer=$2 tos=0 " /sys/kernel/debug/rrds/paths
}

no_path() {
	[ "$(path_of "$1" "$2")" -eq 0 ]
}

# send_unread: a message to the reader.
send_unread() {
	command rds send --pattern 1 -s 100 -W 100s -I "$SECOND" "$FIRST:$READER" && within 20 unread
}

unread() {
	command rds info -4 --receive | grep -q ":$READER "
}

# waits PID: whether it has not ended.
waits() {
	sleep 1
	kill -0 "$1"
}

plan 33
ip link set lo up
veth_pair v0 v1 "$FIRST" "$SECOND" || die "no veth"
for nobody in "$NOBODY/32" "$NOBODIES/16"; do
	ip route add "$nobody" dev v0 || die "no route"
done
veth_pair6 v0 v1 "$FIRST6" "$SECOND6" || die "no IPv6"
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
check "a connection by IPv6" rds ping -c 2 -i 0 -W 100s -I "$FIRST6" "$SECOND6"
check_status 1 "a message to the loopback address of IPv6 from another" ask send "$ONE" "$FIRST6" ::1 0
check "is refused" told EINVAL /tmp/asked
check "the connection goes on" rds ping -c 2 -i 0 -W 100s -I "$FIRST6" "$SECOND6"
check "new ones are made after it" rds ping -c 2 -i 0 -Q 5 -W 100s -I "$FIRST6" "$SECOND6"

# What a peer has sent is on its account as long as there is a path to it.
/lab/bin/rds recv -o /dev/null "$FIRST:$READER" >/tmp/reader 2>&1 &
reader=$!
check "there is a reader" within 20 bound "$READER"
kill -STOP "$reader"
check "it has a message of a peer, which it does not read" send_unread

# A connection that is lost while nobody uses it is remembered: numbers go on.
check "the connections are lost" rxe_del rxe1
check "and made anew" rxe_add rxe1 v1
check "messages go on" rds ping -c 2 -i 0 -W 100s -I "$FIRST" "$SECOND"

# Of the two paths the one from here to the reader is of no use any more, and the other is what it was sent over.
check "the connections are lost again" rxe_del rxe1
check "a path that is of no use goes" within 100 no_path "$SECOND" "$FIRST"
# As long as it had to be of no use, and more.
sleep 15
check "the path of an unread message stays" [ "$(path_of "$FIRST" "$SECOND")" -gt 0 ]
kill "$reader"
kill -CONT "$reader"
wait "$reader"
check "and goes when nobody has it any more" within 100 no_path "$FIRST" "$SECOND"
