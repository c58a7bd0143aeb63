# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The ground that all two-node tests stand on, with the kernel's own C drivers only.

plan 6
other=$(peers)

check "the NIC has the link's MTU" [ "$(cat /sys/class/net/eth0/mtu)" = 9000 ]
barrier up
check "IPv4 ping" ping -c 3 -i 0.2 -w 100 "$(addr4 "$other")"
check "IPv6 ping" ping6 -c 3 -i 0.2 -w 100 "$(addr6 "$other")"
check "a full jumbo frame passes" ping -c 2 -i 0.2 -w 100 -s 8972 "$(addr4 "$other")"

check "rxe0 comes up and is active" rxe_up
need_uverbs || die "no /dev/infiniband"
barrier rxe
# GID 1 is the IPv4 address: 0 is the link-local one.
if [ "$NODE" = a ]; then
	barrier listening
	check "RC ping-pong over verbs" rc_pingpong rxe0 1 "$(addr4 b)"
else
	rc_pingpong rxe0 1 >/tmp/server 2>&1 &
	server=$!
	within 10 rc_serves || diag "$(cat /tmp/server)"
	barrier listening
	check "RC ping-pong over verbs" wait "$server"
fi
barrier end
