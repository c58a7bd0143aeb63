# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox

plan 14

other() { insmod "/lab/modules/other/$1.ko"; }

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"

mark
check_not "rrds does not load without krdma" load rrds
check "the kernel says what is missing" logged 'rrds: Unknown symbol .*krdma'
check "nothing of it stays" not_loaded rrds

load krdma || die "krdma does not load"
check_not "krdma does not load twice" load krdma
check "rrds loads after krdma" load rrds
check_not "rrds does not load twice" load rrds
check_not "krdma does not unload before rrds" unload krdma
check "both unload in order" unload rrds krdma

# Without MODVERSIONS only the hash in krdma's symbols stands between a client and another layout.
load krdma || die "krdma does not load"
mark
check_not "a client built against another krdma is refused" other rrds
check_not "so is the other one" other rdma_devinfo
check "the kernel says why" logged 'rrds: Unknown symbol .*krdma'
unload krdma || die "krdma does not unload"
check "with its own krdma it loads" eval "other krdma && other rrds"
check_not "a client of this build is refused by that krdma" load rdma_devinfo
check "that pair unloads" unload rrds krdma
