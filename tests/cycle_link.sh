# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 6
total=0

# cycles N
cycles() {
	local i=0

	while [ "$i" -lt "$1" ]; do
		rxe_add rxe0 v0 && rxe_del rxe0 || return 1
		i=$((i + 1)) total=$((total + 1))
	done
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
modprobe rdma_rxe || die "no rdma_rxe"
rxe_add rxe9 v1 || die "no rxe9"
load_all krdma rdma_devinfo rrds || die "the modules do not load"
# The first cycles fill what is filled once.
check "10 cycles to warm up" cycles 10
resources=$(rdma_resources)
memory_mark
check "$CYCLES cycles of link add and delete" cycles "$CYCLES"
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
check_memory "memory is as before" "$CYCLES" cycles "$CYCLES"
rxe_del rxe9
mark
check "the modules unload" unload rrds rdma_devinfo krdma
total=$((total + 1))
check_eq "every device that came went" "$(klog | grep -o '[0-9]* added, [0-9]* removed')" \
	"$total added, $total removed"
