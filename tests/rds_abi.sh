# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The same program for the kernel's own RDS and for ours: what it expects is checked against both.

plan 10
check "loopback interface" ip link set lo up
modprobe rds || die "no rds"
check "the kernel's RDS gives what is expected of it" rds_abi 21 c
check "krdma loads" load krdma
mark
check_not "ours does not load with the same number" load rrds
check "and says who has it" logged "rrds: address family 21 is taken"
check "it loads with another one" load rrds family=27
check "and gives what is expected of it" rds_abi 27
check "the kernel's RDS does so still" rds_abi 21 c
unload rrds
rmmod rds
check "alone it loads with the usual number" load rrds
check "and gives what is expected of it" rds_abi 21
unload rrds
