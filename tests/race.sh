# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two jobs change the list of devices, two the list of clients, each at its own pace.

plan 7

# The tool looks for the device in a list that the kernel gives it one device at a time, by its place in
# the list (nldev_get_dumpit()): if another one goes meanwhile, the next one is skipped.
links() {
	while [ ! -e /tmp/stop ]; do
		rdma link add "$1" type rxe netdev "$2" || return 1
		within 30 rdma link delete "$1" || return 1
	done
}

# client NAME: krdma itself stays, so that two clients can come and go independently.
client() {
	local i=0

	while [ "$i" -lt "$ROUNDS" ]; do
		load "$1" && unload "$1" || return 1
		i=$((i + 1))
	done
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
veth_pair v2 v3 10.9.1.1 10.9.1.2 || die "no veth"
rxe_add rxe9 v3 || die "no rxe9"
resources=$(rdma_resources)
load krdma || die "krdma does not load"
mark
links rxe0 v0 &
first=$!
links rxe1 v1 &
second=$!
client rdma_devinfo &
info=$!
client rrds &
rds=$!
check "$ROUNDS times insmod and rmmod of rdma_devinfo" wait "$info"
check "$ROUNDS times insmod and rmmod of rrds" wait "$rds"
touch /tmp/stop
check "devices came and went meanwhile" wait "$first"
check "on a second interface too" wait "$second"

check "krdma unloads" unload krdma
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
# Every unload of rdma_devinfo states its balance: all of them must be even, rrds' in sum.
uneven=$(klog | sed -n 's/^rdma_devinfo: \([0-9]*\) added, \([0-9]*\) removed$/\1 \2/p' |
	awk '$1 != $2 { bad++ } { n++ } END { print n + 0, bad + 0 }')
check_eq "rdma_devinfo's and rrds' devices came and went in pairs" \
	"$uneven $(($(logged_times 'rrds: rxe.: added') - $(logged_times 'rrds: rxe.: removed')))" \
	"$ROUNDS 0 0"
diag "$(logged_times 'rdma_devinfo: hca_id') devices reported, $(logged_times 'rrds: .* added') taken"
