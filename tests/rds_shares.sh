# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# What one user, socket or peer can take from the others: Documentation/sharing.rst has the list. The cases are
# those of tests/programs/rds_shares.

. /lab/lib/rds.sh
. /lab/lib/shares.sh

FIRST=10.9.0.1
SECOND=10.9.0.2
FIRST6=fd00:9::1
# Nobody has these.
NOBODIES=10.9.0.200/29
NOBODY=10.9.0.20

# charged_for_spaces CGROUP: the KiB that are charged to who makes SPACES network namespaces.
charged_for_spaces() {
	mkdir "/tmp/cgroup/$1" || return 1
	# shellcheck disable=SC2016 # it is for the other shell
	sh -c 'echo $$ >"/tmp/cgroup/$1/cgroup.procs"; while [ "$2" -ge "$((i += 1))" ]; do
		/usr/bin/ip netns add "$1$i" || exit 1; done' sh "$1" "$SPACES" || return 1
	echo $(($(cat "/tmp/cgroup/$1/memory.current") / 1024))
	for space in /run/netns/"$1"*; do
		ip netns del "${space##*/}"
	done
}

SPACES=64

plan $((28 + PORTS))
exec 5>/tmp/told
ip link set lo up
veth_pair v0 v1 "$FIRST" "$SECOND" || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
for dev in v0 v1; do
	ip addr add fe80::9/64 dev "$dev" nodad || die "no link-local address"
done
ip addr add "$FIRST6/64" dev v0 nodad || die "no IPv6 address"
ip route add "$NOBODIES" dev v0 || die "no route"
without=
if cgroups user 2>/dev/null && ip netns add warm && ip netns del warm; then
	without=$(charged_for_spaces without)
fi
load krdma || die "no krdma"
load rrds port=18700 rds_ib_retry_count=3 || die "no rrds"
before=$(refcount rrds)

# What is in force can be read, and nobody sets it.
parameters=/proc/sys/net/rds/parameters
check_eq "the parameters" "$(cat $parameters/family $parameters/port $parameters/port6 \
	$parameters/rds_ib_retry_count | xargs)" "21 18700 16385 3"
check_not "none can be set" eval "echo 1 >$parameters/family"
check_not "none is there that programs would take for something else" eval \
	"[ -e /proc/sys/net/rds/pf_rds ] || [ -e /proc/sys/net/rds/sol_rds ]"

# refused COMMAND: whether nobody may not do that.
refused() {
	! su -s /bin/sh nobody -c "$1" >/dev/null 2>/tmp/denied || return 1
	grep -q "Permission denied" /tmp/denied
}

# denied FILE: whether it is there, and nobody may not read it.
denied() {
	[ -e "$1" ] && refused "head -c 1 $1"
}

# What is told of all is for root, also where the folders above may be entered.
debug=/sys/kernel/debug/rrds tracing=/sys/kernel/tracing
chmod 755 /sys/kernel/debug $debug
chmod 755 $tracing
check "nobody is told of paths" denied $debug/paths
check "nor of devices" denied $debug/devices
check "root is" [ "$(head -n 1 $debug/paths)" = "rrds paths 1" ]
check "nobody is told of events" denied $tracing/trace
check "nor can ask for them" denied $tracing/events/rrds/enable

# settable: the files of all sysctls that can be set.
settable() {
	find /proc/sys/net/rds /proc/sys/net/rrds -type f ! -path "*/parameters/*" 2>/dev/null
}

# not_set FILE: whether nobody, who has no right to, can't write it, and root can.
not_set() {
	local was

	was=$(cat "$1")
	refused "echo $was >$1" && echo "$was" >"$1"
}

check_eq "who does not administer sets no sysctl" "$(settable | while read -r sysctl; do
	not_set "$sysctl" || echo "$sysctl"; done)" ""
check "there are some" [ "$(settable | grep -c .)" -ge 10 ]

# A port is of the socket that is bound to it.
check "a socket that failed to bind owns nothing, on loopback" shares bind 127.0.0.1
check "on a device" shares bind "$FIRST"
check "on loopback, by IPv6" shares bind ::1
check "on a device, by IPv6" shares bind "$FIRST6"
check "a socket that has talked of a link goes" shares scope 20 "$(cat /sys/class/net/v0/ifindex)"
check_eq "all of them are gone" "$(refcount rrds)" "$before"
check "one address on two links is two addresses" shares links fe80::9 "$(cat /sys/class/net/v0/ifindex)" \
	"$(cat /sys/class/net/v1/ifindex)"

if [ "$PORTS" = 1 ]; then
	[ "$(cat /proc/sys/fs/file-max)" -ge 100000 ] || echo 100000 >/proc/sys/fs/file-max
	check "a user has all ports of an address, and none of another" shares ports 127.0.0.1 127.0.0.2
fi
check "times of a message's way are taken while somebody asks" shares times 127.0.0.1

# Memory of what is not read.
for len in 0 60 1000 100000; do
	check "unread messages of $len bytes" shares unread 127.0.0.1 3 "$len"
done
if [ -n "$without" ]; then
	check "all of it is charged" eval "
		shares unread 127.0.0.1 3 60 /tmp/cgroup/user && shares unread 127.0.0.1 3 1000 /tmp/cgroup/user"
else
	skip "all of it is charged" "this kernel has no cgroup for memory"
fi
check "a writer waits for a slow reader, and no longer than it says" shares waits 127.0.0.1

# The largest that a namespace has is 24 KiB at least.
if [ -n "$without" ]; then
	with=$(charged_for_spaces with)
	diag "$SPACES namespaces: $without KiB without rrds, $with with it"
	check "what a namespace has is charged" [ "$with" -ge $((without + SPACES * 24)) ]
else
	skip "what a namespace has is charged" "this kernel has no cgroup for memory"
fi

# The slots of a path's queue.
check "all users of a user's namespace have its share" shares subuid "$FIRST" "${NOBODY}1"
check "who may wait does, also if what it sends is cancelled" shares cancels "$FIRST" "${NOBODY}2" 300
number=$((10 << 24 | 9 << 16))
check "a module's socket is refused on a full path, and told of room" \
	load rds_room local=$((number | 1)) peer=$((number | 203)) patience=$((60000 * SLOW))
diag "$(klog | grep rds_room)"
diag "$(cat /tmp/told)"
