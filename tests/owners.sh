# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 12

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
before=$(rdma_resources)
pds=$(rdma resource show pd dev rxe0 | wc -l)

load krdma || die "krdma does not load"
check_eq "krdma alone owns nothing" "$(rdma_resources)" "$before"
check_eq "krdma alone has no users" "$(users krdma)" ""
check_eq "krdma is no client of the core by itself" "$(users ib_core | grep -c -w rrds)" 0

load_all rdma_devinfo rrds || die "the clients do not load"
check_eq "lsmod: who uses krdma" "$(users krdma)" "rdma_devinfo rrds"
check_eq "rrds made one protection domain" \
	"$(rdma resource show pd dev rxe0 | wc -l)" "$((pds + 1))"
check "rdma resource show names rrds as its owner" \
	eval "owners pd rxe0 | grep -q -F '[rrds]'"
check_not "rdma resource show names krdma nowhere" \
	eval "rdma resource show pd | grep -q -F '[krdma]'"

check_not "krdma cannot go while it is used" unload krdma
check "it is still loaded and works" eval "rxe_add rxe1 v1 && rxe_del rxe1"
check "rrds goes" unload rrds
check_eq "what it owned is gone" "$(rdma_resources)" "$before"
check "then the others" unload rdma_devinfo krdma
