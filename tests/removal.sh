# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Two devices of one node, and traffic between them: messages back and forth, a shared receive queue,
# or datagrams. At a moment that differs each time one device goes, or the driver's module with both.

plan 6

FIRST=0x0a090001
SECOND=0x0a090002

# The driver leaves two sockets behind each time that it is unloaded, 2.8 kB, whoever uses its devices.
# Whatever of ours could be left is larger.
# shellcheck disable=SC2034 # for check_memory
CYCLE_BYTES=3072

# random MOST: a number below MOST.
random() {
	echo $(($(od -A n -N 4 -t u4 /dev/urandom) % $1))
}

# traffic MODULE: without end.
traffic() {
	case $1 in
	rdma_pingpong) load rdma_pingpong "peer=$FIRST" rounds=10000 max_size=65536 ;;
	rdma_srq) load rdma_srq "local=$SECOND" "peer=$FIRST" count=1000000 ;;
	rdma_ud) load rdma_ud "local=$SECOND" "peer=$FIRST" group=0xef010203 members=2 count=1000000 burst=1000000 ;;
	esac
}

connected() {
	rdma resource show qp | grep -v 'type GSI' | grep -q 'state RTS'
}

# removed WHAT: a device, or the driver's module.
removed() {
	case $1 in
	driver)
		# With lockdep a queue pair of rxe's holds the driver's module: rxe_reclassify_send_socket().
		[ "$DEVICES_FIRST" = 0 ] || { rxe_del rxe0 && rxe_del rxe1; } || return 1
		rmmod rdma_rxe
		;;
	*) rxe_del "$1" ;;
	esac
}

# nothing_left: neither devices nor what was made of them.
nothing_left() {
	[ -z "$(rdma_resources)" ]
}

devices() {
	rxe_exists rxe0 || rxe_add rxe0 v0 || return 1
	rxe_exists rxe1 || rxe_add rxe1 v1
}

# rounds N
rounds() {
	local i=0 flowing=0 module what

	while [ "$i" -lt "$1" ]; do
		case $((i % 3)) in
		0) module=rdma_pingpong ;;
		1) module=rdma_srq ;;
		2) module=rdma_ud ;;
		esac
		case $((i / 3 % 3)) in
		0) what=rxe0 ;;
		1) what=rxe1 ;;
		2) what=driver ;;
		esac
		traffic "$module" || return 1
		# Each fourth moment may be before there is a connection, the others are not.
		if [ $((i % 4)) != 3 ] && ! within 60 connected; then
			echo "round $i: $module does not connect"
			return 1
		fi
		usleep "$(random 700000)"
		connected && flowing=$((flowing + 1))
		if ! removed "$what"; then
			echo "round $i: $what does not go under $module"
			return 1
		fi
		if [ "$what" = driver ] && ! nothing_left; then
			echo "round $i: of $module is left: $(rdma_resources)"
			return 1
		fi
		unload "$module" || return 1
		devices || return 1
		i=$((i + 1))
	done
	diag "$flowing of $1 times queue pairs were connected at that moment" >&5
	[ "$flowing" -gt $(($1 / 2)) ]
}

exec 5>&1
veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
devices || die "no rxe"
for module in rdma_pingpong rdma_srq rdma_ud; do
	stock_needs "$module" || die "the stock modules do not load"
done
before=$(rdma_resources)
load krdma || die "krdma does not load"
# Once each, so that what is made once is there.
rounds 9 || die "the first rounds fail"
memory_mark
check "$ROUNDS times a device or the driver goes under traffic" rounds "$ROUNDS"
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$before"
check_memory "memory is as before" "$ROUNDS" rounds "$ROUNDS"
check "krdma unloads" unload krdma
check "the devices go" eval 'rxe_del rxe0 && rxe_del rxe1'
check "the driver goes" rmmod rdma_rxe
