# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# After every script: all RDMA devices go, then our modules, whatever the script left. What cannot go was leaked,
# and the core's own check of leaked objects (restrack) runs when a device goes.

. /lab/env
. /lab/lib/leaks.sh
bad=0

for dev in /sys/class/infiniband/*; do
	[ -e "$dev" ] || continue
	rdma link delete "${dev##*/}" || bad=1
done

leaks_places
reversed=
for name in $MODULES; do
	reversed="$name $reversed"
done
for name in $reversed; do
	[ -e "/sys/module/$name/refcnt" ] || continue
	if ! rmmod "$name"; then
		echo "# teardown: $name cannot be unloaded: $(cat "/sys/module/$name/refcnt") users"
		bad=1
	fi
done
leaks
exit "$bad"
