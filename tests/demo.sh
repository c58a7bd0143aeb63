# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 8

check "an RDMA device over the link" rxe_up
barrier rxe
mark
check "krdma, rdma_devinfo and rrds load" load_all krdma rdma_devinfo rrds
check "rdma_devinfo reports the device" within 5 logged "rdma_devinfo: hca_id:.*rxe0"
check "its port is active" logged "rdma_devinfo: .*state:.*ACTIVE"
check "rrds takes the device" within 5 logged "rrds: rxe0: added"
barrier loaded
check "all unload with the device present" unload rrds rdma_devinfo krdma
check_eq "what was added was removed" "$(klog | grep 'rdma_devinfo: [0-9]* added')" \
	"rdma_devinfo: 1 added, 1 removed"
check "the device goes" rxe_down
barrier end
