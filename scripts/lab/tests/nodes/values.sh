# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
plan 5
check_eq "parameters arrive" "$ANSWER" 42
check_eq "the address of b" "$(addr4 b) $(addr6 b)" "10.0.0.2 fd00:0:0:0::2"
if [ "$NODE" = a ]; then
	publish greeting hello from a
	lookup answer
	check_eq "the value of b" "$REPLY" "with $ and 'quotes'"
else
	lookup greeting
	check_eq "the value of a" "$REPLY" "hello from a"
	publish answer "with \$ and 'quotes'"
fi
check_eq "the MTU of the link" "$(cat /sys/class/net/eth0/mtu)" 1500
check "the NIC's own address" ip addr show dev eth0
barrier end
