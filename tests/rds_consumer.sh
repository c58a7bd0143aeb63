# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a runs rds_consumer, a module in C by include/rrds.h. It exchanges messages with rds_echo on the same
# node, over the device and over loopback, and with a module on node b that uses C's RDS by plain sockets. Then b
# goes through a reset in the middle of it.

. /lab/lib/rds.sh

US=$(addr4 a)
THERE=$(addr4 b)

# consumed OPTION...: that it loads, which means that all answers were right.
consumed() {
	load rds_consumer count="$MESSAGES" "$@" && unload rds_consumer
}

# cycles N
cycles() {
	local i

	for i in $(seq "$1"); do
		consumed local="$US" peer="$THERE" port=4500 || {
			echo "cycle $i"
			return 1
		}
	done
}

# refused OPTION...: that it does not load and leaves nothing.
refused() {
	! load rds_consumer "$@" && ! loaded rds_consumer
}

# orphaned: that it ends with an error, and leaves nothing, when the power of its peer fails.
orphaned() {
	barrier play
	refused local="$US" peer="$THERE" port=4500 count=100000000 patience=10
}

rxe_up || die "no rxe"
if [ "$NODE" = b ]; then
	modprobe rds_rdma || die "no rds_rdma"
	if [ "$BOOT" = 0 ]; then
		plan 3
		check "rds_sock answers" load rds_sock local="$THERE"
		barrier up
		barrier play
		check "it is asked" within 20 arrived $(($(counted recv_delivered) + 20))
		reset_node
	fi
	# Until then what was under way finds nobody here.
	lookup orphaned
	check "rds_sock answers again" load rds_sock local="$THERE"
	barrier again
	barrier end
	unload rds_sock
	exit 0
fi

plan 15
load_all krdma rrds || die "the modules do not load"
load rds_echo local="$(number4 a)" || die "rds_echo does not load"
barrier up
check "each misuse gets its error number" load rrds_misuse
unload rrds_misuse
check "rds_echo over the device" consumed local="$US" peer="$US" port=4600
unload rds_echo
load rds_echo || die "rds_echo does not load"
check "rds_echo over loopback" consumed
unload rds_echo
check "a module with C's RDS" consumed local="$US" peer="$THERE" port=4500
check "it says so" logged "rds_consumer: $MESSAGES answers, all right"
check "an address that is not of this host is refused" refused local=10.9.9.9
check "it says why" logged "rds_consumer: can't bind to 10.9.9.9: -99"
check "an address of another family is refused" refused local="$US" peer=fd00::1
sleep 5
resources=$(rdma_resources)
memory_mark
check "$CYCLES times" cycles "$CYCLES"
check "its peer's power fails" orphaned
check "it says what happened" logged "rds_consumer: \(nothing comes after [0-9]* answers\|answer [0-9]* is not\)"
publish orphaned yes
barrier again
check "the peer is back" consumed local="$US" peer="$THERE" port=4500
sleep 5
check_memory "memory is as before" "$CYCLES" cycles "$CYCLES"
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
check "rrds unloads" unload rrds
barrier end
