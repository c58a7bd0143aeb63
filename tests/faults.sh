# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Walks: the same thing again and again, with its first allocation failing, then its second, and so on
# until there are no more. Whatever came of it is undone each time.

clients=${MODULES#krdma }
# shellcheck disable=SC2086 # words on purpose
set -- $clients
plan $(($# * 3 + 7))

# step_of NAME: its number among the steps of rdma_verbs, which a load of none has told.
step_of() {
	klog | sed -n "s/.*rdma_verbs: step \([0-9]*\): $1\$/\1/p" | tail -1
}

# options MODULE: to use up what the device has takes minutes each time, and allocates nothing else.
options() {
	[ "$1" != rdma_verbs ] || echo "${ONLY:-except=$EXHAUSTION}"
}

# walk_attributes: each of few, so that none is left out.
walk_attributes() {
	ONLY="only=$ATTRIBUTES" STRIDE=$MOST walk_insmod rdma_verbs
}

# walk_insmod MODULE: refused for want of memory and for no other reason, or loaded.
walk_insmod() {
	local name="$1" nth=1 refused=0 loaded=0

	while [ "$nth" -le "$MOST" ]; do
		# shellcheck disable=SC2046 # words on purpose
		fail_nth "$nth" "$INSMOD" "/lab/modules/$name.ko" $(options "$name") 2>/tmp/insmod
		if loaded "$name"; then
			loaded=$((loaded + 1))
			rmmod "$name" || return 1
		else
			refused=$((refused + 1))
			if ! grep -q -i 'out of memory\|cannot allocate memory' /tmp/insmod; then
				echo "allocation $nth: $(cat /tmp/insmod)"
				return 1
			fi
		fi
		if [ "$FAULT_HIT" = no ]; then
			diag "$name: $((nth - 1)) allocations, refused $refused times, loaded $loaded times" >&5
			return 0
		fi
		nth=$((nth + 1 + nth / STRIDE))
	done
	echo "more than $MOST allocations"
	return 1
}

load_clients() {
	local name

	for name in $clients; do
		# shellcheck disable=SC2046 # words on purpose
		load "$name" $(options "$name") || return 1
	done
}

# walk_link: a device comes while the clients are loaded; they have what they could get.
walk_link() {
	local nth=1 absent=0

	while [ "$nth" -le "$MOST" ]; do
		fail_nth "$nth" rdma link add rxe9 type rxe netdev v1 2>/tmp/link
		if rxe_exists rxe9; then
			rxe_del rxe9 || return 1
		else
			absent=$((absent + 1))
		fi
		if [ "$FAULT_HIT" = no ]; then
			diag "rdma link add: $((nth - 1)) allocations, no device $absent times" >&5
			return 0
		fi
		nth=$((nth + 1 + nth / STRIDE))
	done
	echo "more than $MOST allocations"
	return 1
}

# storm MODULE: loaded and unloaded while some of all allocations for modules fail.
storm() {
	local round=0 loaded=0

	while [ "$round" -lt "$STORMS" ]; do
		faults_storm $((round % 5 + 1))
		# shellcheck disable=SC2046 # words on purpose
		if "$INSMOD" "/lab/modules/$1.ko" $(options "$1") 2>/dev/null; then
			loaded=$((loaded + 1))
			faults_calm
			rmmod "$1" || return 1
		fi
		faults_calm
		round=$((round + 1))
	done
	diag "$1: loaded $loaded of $STORMS times" >&5
}

exec 5>&1
veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
check "faults can be injected" faults_arm "$MODULES_START" "$MODULES_END"
for name in $MODULES; do
	stock_needs "$name" || die "$name needs what is not there"
done
{ load krdma && load rdma_verbs only=1000 && unload rdma_verbs; } || die "rdma_verbs does not tell its steps"
POOL=$(step_of 'the pool') ATTRIBUTES=$(step_of attributes) EXHAUSTION=$(step_of exhaustion)
if [ -z "$POOL" ] || [ -z "$ATTRIBUTES" ] || [ -z "$EXHAUSTION" ]; then
	die "rdma_verbs has other steps"
fi
# They stay as long as the device.
{ load rdma_verbs "only=$POOL" && unload rdma_verbs krdma; } || die "there are no pools"
before=$(rdma_resources)

check "krdma under failing allocations" walk_insmod krdma
load krdma || die "no krdma"
for name in "$@"; do
	check "$name under failing allocations" walk_insmod "$name"
	check_eq "it left nothing on the device" "$(rdma_resources)" "$before"
	check "$name in a storm of them" storm "$name"
done

check "each allocation of a queue pair's way through its states" walk_attributes
check "all of them load" load_clients
# shellcheck disable=SC2046,SC2086
faults_arm $(module_range $MODULES)
check "rdma link add while allocations of the clients fail" walk_link
reversed=
for name in $MODULES; do
	reversed="$name $reversed"
done
# shellcheck disable=SC2086
check "they go" unload $reversed
check_eq "nothing is left on the device" "$(rdma_resources)" "$before"
