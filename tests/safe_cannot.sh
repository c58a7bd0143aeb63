# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The module runs its cases while a device is added, and says how each went. Each becomes a test here.

veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
rxe_add rxe0 v0 || die "no rxe0"
load krdma || die "krdma does not load"
# The pool's completion queues, which are ib_core's, stay as long as the device.
resources() { rdma_resources | sed 's/ cq [0-9]*//'; }
before=$(resources)
mark
load safe_cannot || die "safe_cannot does not load"
klog | sed -n 's/.*safe_cannot: rxe0: \(.*: .*ok\)\(: .*\)\?$/\1/p' >/tmp/cases
plan $(($(wc -l </tmp/cases) + 6))
while IFS= read -r line; do
	case $line in
	*': not ok') not_ok "${line%: not ok}" ;;
	*': ok') ok "${line%: ok}" ;;
	esac
done </tmp/cases
diag "$(klog | grep safe_cannot)"
check "no case is missing here" logged "safe_cannot: rxe0: [0-9]* of $(wc -l </tmp/cases) ok"
check "safe_cannot unloads" unload safe_cannot
check "what it had left has gone before its code" logged "safe_cannot: the last job goes"
check_eq "nothing is left" "$(resources)" "$before"
check_eq "no completion queue but the pool's is left" "$(rdma resource show cq | grep -vcF '[ib_core]')" 0
check "krdma unloads" unload krdma
