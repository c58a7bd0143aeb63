# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Walks as in faults.sh, over what no program asks for: connecting, transfer and teardown happen in callbacks
# and work items. A module is loaded, talks between two devices, and is unloaded; meanwhile one allocation
# fails below code of ours. The next time it is the next one.

FIRST=0x0a090001
SECOND=0x0a090002
SAMPLES=${MODULES#krdma }

# start MODULE: have it talk.
start() {
	local name="$1"

	case $name in
	rdma_cm_echo) set -- "peer=$FIRST" ;;
	rdma_pingpong) set -- "peer=$FIRST" rounds=1 max_size=4096 ;;
	rdma_write) set -- "peer=$FIRST" ;;
	rdma_srq) set -- "local=$SECOND" "peer=$FIRST" connections=2 count=5 ;;
	rdma_ud) set -- "local=$SECOND" "peer=$FIRST" group=0xef010203 members=1 count=2 burst=2 ;;
	esac
	"$INSMOD" "/lab/modules/$name.ko" "$@"
}

# well MODULE: all was done that it does. ill: something was not, and it has said so. Both in $LOG, and by the
# shell alone: programs take long to start here.
well() {
	case $1,$LOG in
	rdma_cm_echo,*'answer:'*) ;;
	rdma_pingpong,*'games with'*) ;;
	rdma_write,*'nothing was written'*'nothing was written'*) ;;
	rdma_srq,*'messages sent over'*) ;;
	rdma_ud,*'questions answered'*'sent to the group'*) ;;
	rdma_ud,*'sent to the group'*'questions answered'*) ;;
	*) return 1 ;;
	esac
}

ill() {
	case $LOG in
	*failed:* | *lost* | *'no answer'* | *refused* | *'no connection'* | *'nothing more is sent'*) ;;
	*'not taken'* | *'not accepted'* | *"can't "*) ;;
	*) return 1 ;;
	esac
}

over() {
	LOG=$(dmesg)
	well "$1" || ill
}

# flow MODULE LOOKS: once through. Counts in `fine`, `told`, `silent` and `refused` what came of it.
flow() {
	local looks="$2"

	mark
	if ! start "$1" 2>/tmp/insmod; then
		refused=$((refused + 1))
		grep -q -i 'out of memory\|cannot allocate memory' /tmp/insmod && return 0
		echo "insmod: $(cat /tmp/insmod)"
		return 1
	fi
	until over "$1" || [ "$looks" -le 1 ]; do
		usleep 200000
		looks=$((looks - 1))
	done
	if well "$1"; then
		fine=$((fine + 1))
	elif ill; then
		told=$((told + 1))
	else
		silent=$((silent + 1))
	fi
	rmmod "$1"
}

# walk MODULE KIND
walk() {
	local nth=1 fine=0 told=0 silent=0 refused=0 status tries=0

	while ! fail_known "$2"; do
		fail_after "$2" 1
		flow "$1" 20 || return 1
		tries=$((tries + 1))
		fail_after_end "$2" || [ "$tries" -lt 10 ] || return 1
	done
	while [ "$nth" -le "$MOST" ]; do
		fail_after "$2" "$nth"
		flow "$1" 20
		status=$?
		if ! fail_after_end "$2"; then
			if [ "$nth" -le "$LEAST" ] && [ "$2" = failslab ]; then
				echo "only $((nth - 1)) allocations: what fails is not what should"
				return 1
			fi
			diag "$1, $2: $((nth - 1)) allocations; insmod refused $refused times, fine $fine," \
				"told $told, silent $silent" >&5
			return "$status"
		fi
		if [ "$status" -ne 0 ]; then
			echo "allocation $nth"
			return 1
		fi
		nth=$((nth + 1 + nth / STRIDE))
	done
	diag "$1, $2: as far as allocation $MOST; insmod refused $refused times, fine $fine, told $told," \
		"silent $silent" >&5
}

# shellcheck disable=SC2086 # words on purpose
set -- $SAMPLES
plan $(($# * 4 + 2))
exec 5>&1
veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
rxe_add rxe1 v1 || die "no rxe1"
for name in $MODULES; do
	stock_needs "$name" || die "$name needs what is not there"
done
before=$(rdma_resources)
load krdma || die "no krdma"
# shellcheck disable=SC2046
faults_arm $(module_range krdma) || die "faults cannot be injected"

for name in "$@"; do
	fine=0 told=0 silent=0 refused=0
	check "$name works" eval "flow $name 400 && [ \$fine = 1 ]"
done
for name in "$@"; do
	insmod "/lab/modules/$name.ko" || die "no $name"
	# shellcheck disable=SC2046
	faults_arm $(module_range krdma "$name") || die "faults cannot be injected"
	rmmod "$name" || die "$name stays"
	check "$name with each slab object in turn missing" walk "$name" failslab
	check "$name with each page in turn missing" walk "$name" fail_page_alloc
	check "it left nothing on the devices" within 5 rdma_resources_are "$before"
done
check "krdma unloads" unload krdma
check_eq "nothing is left" "$(rdma_resources)" "$before"
