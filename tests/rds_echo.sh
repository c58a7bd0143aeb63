# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a has rrds, and rds_echo on it. Programs of both nodes and a module of node b, whose RDS is C, send
# messages and compare the answers. Then rds_echo goes and comes again while they do so, and node b goes through a
# reset in the middle of it.

. /lab/lib/rds.sh

US=$(addr4 "$NODE")
SERVER=$(addr4 a)
SIZES="0 1 64 65 1024 1025 4095 4096 4097 65536"

echo_up() {
	load rds_echo local="$(number4 a)" tcp="$TCP"
}

# asked ADDRESS SIZE COUNT: that a program's messages come back as they were.
asked() {
	rds ping -c "$3" -i 0 -s "$2" -W 60s "$1:4600"
}

# all_asked ADDRESS: messages of all sizes.
all_asked() {
	local size

	for size in $SIZES; do
		asked "$1" "$size" 5 || return 1
	done
}

# cycle: rds_echo goes while messages come in, and comes again.
cycle() {
	usleep $(($(od -A n -N 4 -t u4 /dev/urandom) % 300000))
	rmmod rds_echo && echo_up
}

# cycles N: so often, and then nothing is loaded any more.
cycles() {
	local i

	for i in $(seq "$1"); do
		cycle || {
			echo "cycle $i"
			return 1
		}
	done
	unload rds_echo && within 20 unload_rrds
}

# endless: messages without end. Those that come when rds_echo is not there are dropped.
endless() {
	command rds ping -c 0 -i 1ms -s 5000 "$SERVER:4600" >/tmp/flood 2>&1 &
	flood=$!
}

# flood NAME
flood() {
	barrier "$1"
	endless
	barrier "$1 end"
	kill "$flood"
	wait "$flood"
}

# full: whether a socket has got so full that peers are told.
full() {
	[ "$(counted cong_update_queued)" -gt "$maps" ]
}

carriers_up || die "no rxe"
case $NODE in
a)
	plan 18
	load_rrds || die "the modules do not load"
	check_not "an address that is not of this host" load rds_echo local=0x0a090909
	check "it says why" logged "rds_echo: can't answer at 10.9.9.9:4600"
	check "rds_echo loads" echo_up
	check_not "rrds does not go while a module uses it" rmmod rrds
	barrier up
	barrier asked
	copied=$(counted recv_bytes_copied)
	barrier "count copies"
	barrier "copies made"
	check "longer messages are not copied" [ "$(counted recv_bytes_copied)" = "$copied" ]
	check_eq "nor to a program" "$(counted copy_to_user)" 0
	check "programs of this node get answers" all_asked "$SERVER"
	barrier "not read"
	barrier "not read end"
	check "the module is told of peers" logged "rds_echo: $(addr4 b) is up"
	barrier "flood to warm up"
	check "2 cycles to warm up" cycles 2
	barrier "flood to warm up end"
	check "of answers that are not read it keeps a few" logged "rds_echo: [0-9]* answered, [1-9][0-9]* failed"
	# The connection manager keeps a number for some seconds after its connection.
	sleep 5
	resources=$(rdma_resources)
	memory_mark
	{ load rrds "tcp=$TCP" && echo_up; } || die "the modules do not load again"
	barrier flood
	check "$CYCLES times, rds_echo goes and comes while messages come in" cycles "$CYCLES"
	barrier "flood end"
	{ load rrds "tcp=$TCP" && echo_up; } || die "the modules do not load again"
	barrier serves
	lookup dead
	check "rds_echo goes while its peer is dead" rmmod rds_echo
	check "and comes" echo_up
	check "programs of this node get answers all the same" all_asked "$SERVER"
	unload rds_echo || die "rds_echo does not unload"
	within 20 unload_rrds || die "rrds does not unload"
	sleep 5
	check_memory "memory is as before" "$CYCLES"
	check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
	{ load rrds "tcp=$TCP" && echo_up; } || die "the modules do not load again"
	barrier again
	barrier "again end"
	unload rds_echo || die "rds_echo does not unload"
	check "it tells what it did" logged "rds_echo: [0-9]* answered, 0 failed"
	load rds_echo || die "rds_echo does not load"
	check "messages that are not the device's" all_asked 127.0.0.1
	{ unload rds_echo && within 20 unload_rrds && unload krdma; } || die "the modules do not unload"
	;;
b)
	modprobe "$(stock_rds)" || die "no $(stock_rds)"
	if [ "$BOOT" != 0 ]; then
		barrier again
		check "all sizes again" all_asked "$SERVER"
		barrier "again end"
		barrier end
		exit 0
	fi
	plan 6
	barrier up
	check "programs get answers" all_asked "$SERVER"
	check "modules get answers" load rds_sock local="$US" peer="$SERVER" port=4600 count="$MESSAGES"
	unload rds_sock
	barrier asked
	barrier "count copies"
	check "messages longer than 1 KiB" asked "$SERVER" 65536 20
	barrier "copies made"
	barrier "not read"
	maps=$(counted cong_update_queued)
	command rds send --pattern 1000000 -s 5000 -W 1000s "$SERVER:4600" >/tmp/send 2>&1 &
	deaf=$!
	within 20 full || die "its socket does not get full: $(cat /tmp/send)"
	check "who asks and does not read holds up nobody else" all_asked "$SERVER"
	kill "$deaf"
	wait "$deaf"
	barrier "not read end"
	flood "flood to warm up"
	flood flood
	barrier serves
	endless
	# Answers that are awaited: those to an endless flood may come too late on a busy machine.
	for i in 1 2 3 4; do
		command rds ping -c 0 -i 0 -s 5000 -W 60s "$SERVER:4600" >/dev/null 2>&1 &
	done
	check "answers come" within 20 arrived $(($(counted recv_delivered) + 20))
	publish dead soon
	reset_node
	;;
esac
barrier end
