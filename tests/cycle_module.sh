# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 6

# cycles N
cycles() {
	local i=0

	while [ "$i" -lt "$1" ]; do
		load_all krdma rdma_devinfo rrds && unload rrds rdma_devinfo krdma || return 1
		i=$((i + 1))
	done
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
# The first cycles fill what is filled once.
check "10 cycles to warm up" cycles 10
resources=$(rdma_resources)
memory_mark
mark
check "$CYCLES cycles of insmod and rmmod" cycles "$CYCLES"
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
check_eq "each time both devices came and went" \
	"$(logged_times 'rdma_devinfo: 2 added, 2 removed')" "$CYCLES"
check_eq "for rrds too" \
	"$(logged_times 'rrds: rxe.: added') $(logged_times 'rrds: rxe.: removed')" \
	"$((2 * CYCLES)) $((2 * CYCLES))"
check_memory "memory is as before" "$CYCLES" cycles "$CYCLES"
