# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Walks as in faults.sh, over what programs ask of sockets: of all allocations that their calls make below code of
# ours, the first fails, then the second, and so on. Then some of all allocations fail, whoever makes them, what
# comes in and connects too.

. /lab/lib/rds.sh

FIRST=10.9.0.1
SECOND=10.9.0.2

# walk PROGRAM...: it does what it should, or says that memory is missing.
walk() {
	local nth=1 fine=0 refused=0

	while [ "$nth" -le "$MOST" ]; do
		if fail_nth "$nth" "$@" >/tmp/walk 2>&1; then
			fine=$((fine + 1))
		elif grep -q -i 'cannot allocate memory\|no buffer space' /tmp/walk; then
			refused=$((refused + 1))
		else
			echo "allocation $nth: $(cat /tmp/walk)"
			return 1
		fi
		if [ "$FAULT_HIT" = no ]; then
			diag "$*: $((nth - 1)) allocations, fine $fine times, refused $refused times" >&5
			[ "$nth" -gt 1 ]
			return
		fi
		nth=$((nth + 1 + nth / STRIDE))
	done
	echo "more than $MOST allocations"
	return 1
}

# storms PROGRAM...: whether it succeeds or not.
storms() {
	local round fine=0

	for round in $(seq "$STORMS"); do
		faults_storm $((round % 5 + 1))
		"$@" >/tmp/walk 2>&1 && fine=$((fine + 1))
		faults_calm
	done
	diag "$*: fine $fine of $STORMS times" >&5
}

no_sockets() {
	! bound '[0-9]*'
}

plan 16
exec 5>&1
ip link set lo up
veth_pair v0 v1 "$FIRST" "$SECOND" || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
stock_needs krdma || die "the stock modules do not load"
before=$(rdma_resources)
load_all krdma rrds || die "the modules do not load"
# shellcheck disable=SC2046
check "faults can be injected" faults_arm $(module_range krdma rrds)
check "messages go over the device" rds ping -c 2 -i 0 -W 100s -I "$FIRST" "$SECOND"

check "ping over loopback" walk /lab/bin/rds ping -c 2 -i 0 -s 5000 -W 100s 127.0.0.1
check "ping over the device" walk /lab/bin/rds ping -c 2 -i 0 -s 5000 -W 100s -I "$FIRST" "$SECOND"
check "ping over a new connection" walk /lab/bin/rds ping -c 2 -i 0 -Q 4 -W 100s -I "$FIRST" "$SECOND"
check "send over loopback" walk /lab/bin/rds send --pattern 5 -s 1,64K -W 100s 127.0.0.1:4000
check "send over the device" walk /lab/bin/rds send --pattern 5 -s 1,64K -W 100s -I "$FIRST" "$SECOND:4000"
check "info" walk /lab/bin/rds info
check "a bind that fails takes nothing from others" walk /lab/bin/rds_shares 21 bind 127.0.0.1
command rds recv -o /dev/null "$SECOND:4000" &
recv=$!
within 20 bound 4000 || die "rds recv does not bind"
check "send to a program" walk /lab/bin/rds send --pattern 5 -s 1,64K -W 100s -I "$FIRST" "$SECOND:4000"
check "ping in a storm of them" storms /lab/bin/rds ping -c 50 -i 0 -s 5000 -W 5s -I "$FIRST" "$SECOND"
check "send in a storm of them" storms /lab/bin/rds send --pattern 50 -s 1,64K -W 5s -I "$FIRST" "$SECOND:4000"
kill "$recv"
wait "$recv"
check "after them messages go over the device" rds ping -c 2 -i 0 -W 100s -I "$FIRST" "$SECOND"
check "no socket is left" within 20 no_sockets
check "rrds and krdma unload" eval "within 20 unload_rrds && unload krdma"
check "nothing is left on the devices" within 20 rdma_resources_are "$before"
