# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The sample does all its work while a device is added, and says how it went.

passed() { logged "rdma_loopback: rxe0: passed"; }

plan 10
check "loopback interface" ip link set lo up
check "a pair of interfaces" ip link add v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
check "an address" ip addr add 10.0.0.1/24 dev v0
check "krdma loads" load krdma
check "rxe0 comes up" rxe_add rxe0 v0
before=$(rdma_resources)
mark
load rdma_loopback
check "what is sent and written arrives, what is revoked can't be written" within 20 passed
unload rdma_loopback
check_eq "nothing is left" "$(rdma_resources)" "$before"
for _ in $(seq 10); do
	load rdma_loopback
	unload rdma_loopback
done
check_eq "nothing is left after ten more" "$(rdma_resources)" "$before"
mark
load rdma_loopback entries=8
check "a queue pair that has more requests than its completion queue has room is refused" \
	logged "rdma_loopback: rxe0: failed: ENOSPC"
unload rdma_loopback
check_eq "nothing of it is left" "$(rdma_resources)" "$before"
