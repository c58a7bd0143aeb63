# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The workload of the kernel's selftest of RDS (tools/testing/selftests/net/rds), with rrds in place of C: two
# devices joined by a cable that loses, doubles and garbles packets, a socket on each, which send to each other and to
# themselves. Over RDMA both are in one namespace; over TCP each is in its own.

. /lab/lib/rds.sh

plan 5

ONE=10.9.0.3 OTHER=10.9.0.4

# A command where the first socket is.
here() { "$@"; }

# Before there are RDMA devices, see mute().
bad() { tc "$@" root netem limit 10000 loss "$BAD%" duplicate "$BAD%" corrupt "$BAD%"; }

if [ "$TCP" = 1 ]; then
	here() { ip netns exec left "$@"; }
	ends="$ONE@left $OTHER@right"
	netns_pair left right $ONE $OTHER || die "no namespaces"
	{ bad -n left qdisc add dev v0 && bad -n right qdisc add dev v0; } || die "no netem"
else
	ends="$ONE $OTHER"
	veth_pair v0 v1 $ONE $OTHER || die "no cable"
	{ bad qdisc add dev v0 && bad qdisc add dev v1; } || die "no netem"
	{ rxe_add rxe0 v0 && rxe_add rxe1 v1; } || die "no rxe"
fi
load_rrds || die "the modules do not load"

# shellcheck disable=SC2086 # words on purpose
check "all messages arrive, once each and in order" /lab/bin/rds_burst 21 $ends 30000 "$MESSAGES"
dropped=$(here tc -s qdisc show dev v0 | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | head -n 1)
check "netem has dropped packets" [ "$dropped" -ge $((MESSAGES / LEAST)) ]
check "ping" here /lab/bin/rds ping -c 1 -W 60s -I $ONE $OTHER
diag "$dropped packets dropped; connections broken: $(here /lab/bin/rds info --counters | awk '$1 == "conn_reset" { print $2 }')"
check "rrds unloads" unload rrds
check "krdma unloads" unload krdma
