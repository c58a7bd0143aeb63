# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 7

over() {
	[ "$(logged_times 'B: nothing was written')" = 2 ] || logged 'rdma_write: .*failed'
}

write() {
	load rdma_write "peer=$(((10 << 24) + (9 << 16) + 2))" timeout=60000
}

# At every point of a conversation, by and by.
rounds() {
	local i=0

	while [ "$i" -lt "$ROUNDS" ]; do
		write || return 1
		usleep $((i * 37000 % 500000))
		unload rdma_write || return 1
		i=$((i + 1))
	done
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)
mark
write || die "the module does not load"
within 60 over
diag "$(klog | grep rdma_write)"
check_eq "both conversations end as they should" \
	"$(logged_times 'A: a write after the revocation: RemoteAccess') $(logged_times 'B: nothing was written')" "2 2"
check_not "nothing has failed" logged 'rdma_write: .*failed'
check "the module unloads" unload rdma_write
check "$ROUNDS times rmmod in the middle" rounds
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
write || die "the module does not load"
usleep 200000
check "its devices go in the middle" eval 'rxe_del rxe0 && rxe_del rxe1'
check "the modules unload" unload rdma_write krdma
