# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# For scripts that use the rds tool.

# rds ARGUMENT...: the tool; what it said last is in /tmp/said.
rds() {
	/lab/bin/rds "$@" >/tmp/said 2>&1
	status=$?
	cat /tmp/said
	return "$status"
}

# said PATTERN: whether the tool's last output has it.
said() {
	grep -q -e "$1" /tmp/said
}

# check_status STATUS WHAT COMMAND...: that it ends with this status.
check_status() {
	local wanted="$1" what="$2" got=0

	shift 2
	"$@" >/dev/null || got=$?
	check_eq "$what" "$got" "$wanted"
}

# bound PORT: whether a socket of this node has the port.
bound() {
	command rds info --sockets | grep -q -e ":$1 "
}

# connections_up LEAST: whether so many are up. Say `within`: a peer that stands still for a second or two loses its
# connections, and makes them anew.
connections_up() {
	[ "$(command rds info -n | grep -c -e '--U')" -ge "$1" ]
}

# carried: how many ends of RDMA connections there are.
carried() {
	command rds info --json -n | awk '/"infiniband"/ { n++ } END { print n + 0 }'
}

# connection TOS COLUMN: what is listed of the one from $US to $PEER: 5 is its state, 6 the number of the message
# that comes next.
connection() {
	command rds info -4 --connections | awk -v us="$US" -v peer="$PEER" -v tos="$1" -v column="$2" '
		$1 == us && $2 == peer && $3 == tos { print $column }'
}

# tcp_listed COUNT: whether there are so many TCP connections, to or from RDS's port.
tcp_listed() {
	command rds info -n --tcp >/tmp/tcp && [ "$(grep -c -e ":16385 " /tmp/tcp)" = "$1" ]
}

# rds_ss OPTION...: ss of the TCP connections to or from RDS's port.
rds_ss() {
	ss "$@" '( sport = :16385 or dport = :16385 )'
}

# counted NAME: one of the counters.
counted() {
	command rds info --counters | awk -v name="$1" '$1 == name { sum = $2 } END { print sum + 0 }'
}

# arrived N: whether this node's sockets have got so many messages.
arrived() {
	[ "$(counted recv_delivered)" -ge "$1" ]
}

# Say `within`: sockets that were killed go when the device has let go of what they sent.
unload_rrds() {
	rmmod rrds 2>/dev/null
}

# carriers_up: RDMA devices, unless messages are to go over TCP only ($TCP).
carriers_up() {
	[ "$TCP" = 1 ] || rxe_up
}

# load_rrds ARGUMENT...: rrds, which has TCP too if messages are to go over that.
load_rrds() {
	load krdma && load rrds "tcp=$TCP" "$@"
}

# stock_rds: the kernel's own RDS, over what messages are to go over.
stock_rds() {
	if [ "$TCP" = 1 ]; then
		echo rds_tcp
	else
		echo rds_rdma
	fi
}
