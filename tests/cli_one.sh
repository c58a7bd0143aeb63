# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Both ends on one node, as measurements have them.

. /lab/lib/rds.sh

plan 8

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
modprobe rds_rdma || die "no rds_rdma"

# serve ADDRESS OPTION...: the server, as a job of its own.
serve() {
	local at="$1"

	shift
	command rds "$@" --listen "$at:4100" --once >/tmp/server 2>&1 &
	server=$!
	within 20 bound 4100 || die "no server: $(cat /tmp/server)"
}

serve 127.0.0.1 stress
check "loopback" rds stress -n 2 -d 8 -s 0-100 -c "$MESSAGES" -i 0 127.0.0.1:4100
check "its server is content" wait "$server"
check_eq "it took no RDMA connection" "$(carried)" 0

serve 10.9.0.2 --transport rdma stress
check "over RDMA" rds --transport rdma stress -I 10.9.0.1 -n 2 -d 8 -s 0-100,64K -c "$MESSAGES" \
	-i 0 10.9.0.2:4100
check "its server is content" wait "$server"
check_eq "both ends of an RDMA connection" "$(carried)" 2
check "ping over it" rds --transport rdma ping -I 10.9.0.1 -c 3 -i 0 -W 60s 10.9.0.2
check_status 3 "a transport that is not loaded" rds --transport tcp ping -c 1 10.9.0.2
