# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The sample does all its work while a device is added, and says how each step went.

# Each step, as the sample names it.
STEPS='operations
pieces without bytes
inline bytes across pages
unreliable connection
datagrams
requests that are not signalled
room for the next that is signalled
no more is posted than completions fit
a reset gives back what is posted
the pool
context
handle of a shared queue
resize of a shared queue
states
attributes
sizes
exhaustion
connections
a group that is left'

plan $(($(echo "$STEPS" | wc -l) + 6))
veth_pair v0 v1 10.9.0.1 10.9.0.2 || die "no veth"
ip addr add fd09::1/64 dev v0 nodad
rxe_add rxe0 v0 || die "no rxe0"
stock_needs rdma_verbs || die "the stock modules do not load"
# The pool's completion queues stay as long as the device: have them made before.
load krdma || die "krdma does not load"
load rdma_verbs || die "rdma_verbs does not load"
unload rdma_verbs
before=$(rdma_resources)
mark
check "rdma_verbs loads" load rdma_verbs
diag "$(klog | grep rdma_verbs)"
while read -r step; do
	check "$step" logged "rdma_verbs: rxe0: $step: passed"
done <<-END
	$STEPS
END
check "no step is missing here" logged "$(echo "$STEPS" | wc -l) of $(echo "$STEPS" | wc -l) passed"
# 239.8.8.8, as a number in this processor's byte order. Who has left it still exists.
check_not "the group was left, and not only by who goes" grep -q 080808EF /proc/net/igmp
check "rdma_verbs unloads" unload rdma_verbs
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$before"
check "krdma unloads" unload krdma
