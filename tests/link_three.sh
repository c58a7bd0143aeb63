# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Each node pings both others; then a -> b -> c -> a, each with a server for the one before it.

plan 5

case $NODE in
a) next=b ;;
b) next=c ;;
*) next=a ;;
esac

rxe_up || die "no rxe"
need_uverbs || die "no /dev/infiniband"
barrier up
for other in $(peers); do
	check "a full jumbo frame reaches $other" ping -c 3 -i 0.2 -w 100 -s 8972 "$(addr4 "$other")"
done
check "IPv6 reaches $next" ping6 -c 3 -i 0.2 -w 100 "$(addr6 "$next")"
# GID 1 is the IPv4 address: 0 is the link-local one.
rc_pingpong rxe0 1 >/tmp/server 2>&1 &
server=$!
within 10 rc_serves || diag "$(cat /tmp/server)"
barrier listening
check "RC ping-pong to $next" rc_pingpong rxe0 1 "$(addr4 "$next")"
check "RC ping-pong from the one before" wait "$server"
barrier end
