# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Kernel modules and the kernel's log.

# stock_needs MODULE: load what our module needs of the stock kernel, but none of ours.
stock_needs() {
	local need needs

	eval "needs=\${NEEDS_$1:-}"
	for need in $needs; do
		case " $MODULES " in
		*" $need "*) ;;
		*) modprobe "$need" || return 1 ;;
		esac
	done
}

# load MODULE [PARAMETER=VALUE...]: load one of our modules, and nothing else of ours. What rrds is to carry goes over
# RDMA between two addresses of a node, too: most tests on one node are about that. See own.sh.
load() {
	local name="$1"

	shift
	stock_needs "$name" || return 1
	insmod "/lab/modules/$name.ko" "$@" || return 1
	[ "$name" != rrds ] || prefer_loopback 0
}

# prefer_loopback 0|1: whether messages between two addresses of this namespace stay in the node, as they do by default.
prefer_loopback() {
	local folder

	for folder in /proc/sys/net/rrds /proc/sys/net/rds; do
		if [ -e "$folder/ib/loopback" ]; then
			echo "$1" >"$folder/ib/loopback"
			return
		fi
	done
	return 1
}

# refcount MODULE: how many use it; of rrds its sockets, and what else keeps it.
refcount() {
	cat "/sys/module/$1/refcnt"
}

# load_all MODULE...: in this order.
load_all() {
	local name

	for name in "$@"; do
		load "$name" || return 1
	done
}

# unload MODULE...: in this order.
unload() {
	local name

	for name in "$@"; do
		rmmod "$name" || return 1
	done
}

loaded() {
	[ -d "/sys/module/$1" ] && [ -e "/sys/module/$1/refcnt" ]
}

not_loaded() {
	! loaded "$1"
}

# users MODULE: who uses it, as lsmod says, sorted.
users() {
	for user in "/sys/module/$1/holders/"*; do
		[ ! -e "$user" ] || echo "${user##*/}"
	done | sort | xargs
}

# mark: forget the kernel's log so far; what `klog` prints starts here. The console has it all the same.
mark() {
	dmesg -c >/dev/null
}

# klog: the kernel's messages since the mark, without their times.
klog() {
	dmesg | sed 's/^\(<[0-9]*>\)*\[[^]]*\] //'
}

# logged PATTERN / logged_times PATTERN: basic regular expressions on the messages since the mark.
logged() {
	klog | grep -q -e "$1"
}

logged_times() {
	klog | grep -c -e "$1"
}
