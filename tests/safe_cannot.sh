# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The module runs its cases while a device is added, and says how each went. Each becomes a test here.

# run_cases COMMAND...: loads the module, and writes how each case went to /tmp/cases.
run_cases() {
	mark
	"$@" || die "safe_cannot does not load"
	klog | sed -n 's/.*safe_cannot: rxe0: \(.*: .*ok\)\(: .*\)\?$/\1/p' >/tmp/cases
}

# report_cases: the tests of what run_cases has written.
report_cases() {
	local line

	while IFS= read -r line; do
		case $line in
		*': not ok') not_ok "${line%: not ok}" ;;
		*': ok') ok "${line%: ok}" ;;
		esac
	done </tmp/cases
	diag "$(klog | grep safe_cannot)"
	check "no case is missing here" logged "safe_cannot: rxe0: [0-9]* of $(wc -l </tmp/cases) ok"
}

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
load krdma || die "krdma does not load"
# The pool's completion queues, which are ib_core's, stay as long as the device.
resources() { rdma_resources | sed 's/ cq [0-9]*//'; }
before=$(resources)

run_cases load safe_cannot
elsewhere=$(grep -c '^elsewhere: ' /tmp/cases)
plan $(($(wc -l </tmp/cases) + elsewhere + 10))
report_cases
# Objects of each kind are in use still. krdma waits for them, and says so from time to time. They go by an event of
# the device: that it has another GID.
unload safe_cannot &
unloading=$!
check "krdma says whom it waits for" within 20 logged "krdma: waiting for safe_cannot to give up what it has made"
ip addr add 10.9.0.3/32 dev v0 || die "no address"
check "safe_cannot unloads" wait "$unloading"
check_eq "what it had left has gone before its code" "$(logged_times "safe_cannot: after the exit .* goes")" \
	"$(klog | sed -n 's/.*safe_cannot: \([0-9]*\) values are left/\1/p')"
ip addr del 10.9.0.3/32 dev v0

# Somebody gives an interface of another namespace the address that the device has here.
if ! ip netns add elsewhere || ! ip -n elsewhere link set lo up || ! ip -n elsewhere addr add 10.9.0.1/32 dev lo; then
	die "no namespace"
fi
run_cases ip netns exec elsewhere insmod /lab/modules/safe_cannot.ko
report_cases
check_eq "the cases of addresses have run there" "$(grep -c '^elsewhere: ' /tmp/cases)" "$elsewhere"
check "safe_cannot unloads again" unload safe_cannot
ip netns del elsewhere

check_eq "nothing is left" "$(resources)" "$before"
check_eq "no completion queue but the pool's is left" "$(rdma resource show cq | grep -vcF '[ib_core]')" 0
check "krdma unloads" unload krdma
