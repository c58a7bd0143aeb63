# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The workload of the kernel's selftest of RDS (tools/testing/selftests/net/rds), with rrds in place of C: two
# devices in one namespace joined by a cable that loses, doubles and garbles packets, a socket on each, which send
# to each other and to themselves.

. /lab/lib/rds.sh

plan 5

ONE=10.9.0.3 OTHER=10.9.0.4

# Before there are RDMA devices, see mute().
bad() { tc qdisc add dev "$1" root netem limit 10000 loss "$BAD%" duplicate "$BAD%" corrupt "$BAD%"; }

veth_pair v0 v1 $ONE $OTHER || die "no cable"
{ bad v0 && bad v1; } || die "no netem"
{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
load_all krdma rrds || die "the modules do not load"

check "all messages arrive, once each and in order" /lab/bin/rds_burst 21 $ONE $OTHER 30000 "$MESSAGES"
dropped=$(tc -s qdisc show dev v0 | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | head -n 1)
check "netem has dropped packets" [ "$dropped" -ge $((MESSAGES / 200)) ]
check "ping" rds ping -c 1 -W 60s -I $ONE $OTHER
diag "$dropped packets dropped; queue pairs broken: $(counted conn_reset)"
check "rrds unloads" unload rrds
check "krdma unloads" unload krdma
