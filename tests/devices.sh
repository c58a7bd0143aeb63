# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 17

# reported DEVICE TIMES / taken / left: how often rdma_devinfo and rrds said so since the mark.
reported() { [ "$(logged_times "rdma_devinfo: hca_id:[[:space:]]*$1\$")" = "$2" ]; }
forgotten() { [ "$(logged_times "rdma_devinfo: $1: removed\$")" = "$2" ]; }
taken() { [ "$(logged_times "rrds: $1: added")" = "$2" ]; }
left() { [ "$(logged_times "rrds: $1: removed\$")" = "$2" ]; }

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
veth_pair v2 v3 10.9.1.1 10.9.1.2 || die "no veth"
modprobe rdma_rxe || die "no rdma_rxe"
mark

check "a device before insmod" rxe_add rxe0 v0
check "the modules load" load_all krdma rdma_devinfo rrds
check "rdma_devinfo is told of it once" within 5 reported rxe0 1
check "rrds is told of it once" within 5 taken rxe0 1

check "a device after insmod" rxe_add rxe1 v1
check "rdma_devinfo is told of it once" within 5 reported rxe1 1
check "rrds is told of it once" within 5 taken rxe1 1

check "a device is removed while the modules are loaded" rxe_del rxe0
check "rdma_devinfo lets it go before the removal returns" forgotten rxe0 1
check "rrds lets it go before the removal returns" left rxe0 1

rxe_add rxe0 v0 || die "rxe0 does not come back"
rxe_add rxe2 v2 || die "no rxe2"
check "the same name again is a new device" within 5 reported rxe0 2

check "rmmod with three devices present" unload rrds rdma_devinfo krdma
check_eq "rdma_devinfo: every device that came went" \
	"$(klog | sed -n 's/^rdma_devinfo: \([0-9]* added, [0-9]* removed\)$/\1/p')" \
	"4 added, 4 removed"
check_eq "rrds: every device that came went" \
	"$(logged_times 'rrds: rxe[0-9]: added') $(logged_times 'rrds: rxe[0-9]: removed')" "4 4"
check_eq "the devices themselves stay" "$(rdma_devices)" "rxe0 rxe1 rxe2"
check "they go when nobody is loaded" eval "rxe_del rxe0 && rxe_del rxe1 && rxe_del rxe2"
check "insmod and rmmod without any device" \
	eval "load_all krdma rdma_devinfo rrds && unload rrds rdma_devinfo krdma"
