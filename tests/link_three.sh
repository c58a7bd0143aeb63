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
	check "a full jumbo frame reaches $other" ping -c 3 -i 0.2 -w 10 -s 8972 "$(addr4 "$other")"
done
check "IPv6 reaches $next" ping6 -c 3 -i 0.2 -w 10 "$(addr6 "$next")"
# GID 1 is the IPv4 address: 0 is the link-local one.
timeout 60 ibv_rc_pingpong -d rxe0 -g 1 -n 100 -s 4096 -m 4096 >/tmp/server 2>&1 &
server=$!
within 10 sh -c 'netstat -ltn | grep -q :18515' || diag "$(cat /tmp/server)"
barrier listening
check "RC ping-pong to $next" \
	timeout 60 ibv_rc_pingpong -d rxe0 -g 1 -n 100 -s 4096 -m 4096 "$(addr4 "$next")"
check "RC ping-pong from the one before" wait "$server"
barrier end
