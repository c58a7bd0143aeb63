# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# For scripts that run the cases of tests/programs/rds_shares. They open file descriptor 5 for what these say.

# shares CASE ARGUMENT...: what the program takes, and whether that is its share. What it says is told.
shares() {
	local status=0

	/lab/bin/rds_shares 21 "$@" >/tmp/shares 2>&1 || status=$?
	cat /tmp/shares
	sed -n 's/^# //p' /tmp/shares >&5
	return "$status"
}

# cgroups NAME...: makes these in /tmp/cgroup, to charge memory to.
cgroups() {
	local name

	mkdir -p /tmp/cgroup && mount -t cgroup2 none /tmp/cgroup &&
		echo +memory >/tmp/cgroup/cgroup.subtree_control || return 1
	for name in "$@"; do
		mkdir "/tmp/cgroup/$name" || return 1
	done
}
