# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node $OURS runs rrds, the other one the C implementation, or rrds too ($BOTH). Both do the same, in turn and at
# the same time. They have RDMA, or TCP only ($TCP).

. /lab/lib/rds.sh

plan $((14 + 7 * TCP))

US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")
US6=$(addr6 "$NODE") PEER6=$(addr6 "$(peers)")

# IPv4 and IPv6, and another type of service, which TCP has not.
connections=$((3 - TCP))
carriers_up || die "no rxe"
is_rrds=0
# Another one than the default. Connections have that of the listener, or of the namespace.
[ "$TCP" = 0 ] || echo reno >/proc/sys/net/ipv4/tcp_congestion_control
if [ "$NODE" = "$OURS" ] || [ "$BOTH" = 1 ]; then
	is_rrds=1
	load_rrds || die "the modules do not load"
	# Another one than TCP would choose.
	[ "$TCP" = 0 ] || echo 98304 >/proc/sys/net/rds/tcp/rds_tcp_rcvbuf
else
	modprobe "$(stock_rds)" || die "no $(stock_rds)"
fi
barrier loaded

# turn NAME COMMAND...: each node in its turn, while the other one waits.
turn() {
	local name="$1"

	shift
	barrier "$name"
	if [ "$NODE" = a ]; then
		check "$name" "$@"
		barrier "$name a"
		barrier "$name b"
	else
		barrier "$name a"
		check "$name" "$@"
		barrier "$name b"
	fi
}

# buffered BYTES: how many connections of RDS have so much for what they receive.
buffered() {
	rds_ss -tmnH | grep -c ",rb$1,"
}

# controlled NAME: how many connections of RDS have this congestion control.
controlled() {
	rds_ss -tinH | grep -c "^[[:space:]]*$1 "
}

# resets_and_pings: a ping from each of some ports, so by several lanes, after all connections were reset here.
resets_and_pings() {
	local left=8

	rds_ss -K >/dev/null
	while [ "$left" -gt 0 ]; do
		rds ping -c 1 -W 60s "$PEER" || return 1
		left=$((left - 1))
	done
}

# exchange NAME TO PORT US PEER OPTION...: the pattern, one way, to node TO.
exchange() {
	local name="$1" to="$2" port="$3" us="$4" peer="$5"

	shift 5
	if [ "$NODE" = "$to" ]; then
		command rds recv --pattern -c "$MESSAGES" -W 100s "$us:$port" &
		within 20 bound "$port" || die "rds recv does not bind"
		barrier "$name"
		check "$name" wait $!
	else
		barrier "$name"
		check "$name" rds send --pattern "$MESSAGES" "$@" -W 100s "$peer:$port"
	fi
	barrier "$name end"
}

turn "ping" rds ping -c 4 -i 0 -W 60s "$PEER"
turn "ping with data and a type of service" rds ping -c 4 -i 0 -s 5000 -Q 3 -W 60s "$PEER"
turn "ping over IPv6" rds ping -c 2 -i 0 -W 60s "$PEER6"
sizes=0,1,4095-4097,64K
exchange "from a to b" b 5000 "$US" "$PEER" -s "$sizes"
exchange "from b to a" a 5001 "$US" "$PEER" -s "$sizes"
exchange "from a to b over IPv6" b 5002 "[$US6]" "[$PEER6]" -s "$sizes"
exchange "from b to a over IPv6" a 5003 "[$US6]" "[$PEER6]" -s "$sizes"
if [ "$TCP" = 1 ]; then
	copied=$(counted copy_from_user)
	exchange "lent memory from a to b" b 5006 "$US" "$PEER" -s "$sizes" --zerocopy --pieces 3
	exchange "lent memory from b to a" a 5007 "$US" "$PEER" -s "$sizes" --zerocopy --pieces 300
	check_eq "what is lent is not copied" "$(counted copy_from_user)" "$copied"
fi
MESSAGES=20
exchange "long messages from a to b" b 5004 "$US" "$PEER" -s 1M
exchange "long messages from b to a" a 5005 "$US" "$PEER" -s 1M

# Each is the other's server, at the same time.
command rds stress --listen "$US" --once >/tmp/server 2>&1 &
server=$!
within 10 grep -q serving /tmp/server || die "no server: $(cat /tmp/server)"
barrier serving
check "stress with verification" rds stress -n 2 -d 8 -s 0,1,15-17,4095-4097,64K -i 0 \
	-c 150 "$PEER"
barrier stressed
check "the server saw no error" wait "$server"
check "the connections are listed and up" within 20 connections_up "$connections"
if [ "$TCP" = 1 ]; then
	# Each has eight lanes.
	check "so is what they have of TCP" within 20 tcp_listed $((8 * connections))
	check_eq "their congestion control is the namespace's" "$(controlled reno)" $((8 * connections))
	check_eq "connections whose buffer is as asked for" "$(buffered 98304)" $((is_rrds * 8 * connections))
fi
[ "$TCP" = 0 ] || turn "pings when all connections were reset" resets_and_pings
# RDS of either kind gives a queue pair 8 at most, whatever more the device can do.
gathers() {
	command rds info --json -I >/tmp/pairs || return 1
	grep -q '"max_send_sge": *[1-8]\b' /tmp/pairs && ! grep '"max_send_sge": *[0-9][0-9]' /tmp/pairs
}
# There is no RDMA device.
[ "$TCP" = 0 ] || check "the doctor is content with TCP" rds doctor
[ "$TCP" = 1 ] || check "the listed queue pairs gather what RDS lets them" gathers
check "counters are listed" rds info --counters
barrier end
