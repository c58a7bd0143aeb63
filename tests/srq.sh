# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# b makes many connections to a, and sends over all of them at once.

TOTAL=$((CONNECTIONS * COUNT))

# refills: how often a's queue was filled up because the device said that it ran low.
refills() {
	klog | sed -n 's/^rdma_srq: rxe0: .* \([0-9]*\) refills by limit.*/\1/p'
}

case $NODE in
a) plan 7 ;;
b) plan 5 ;;
esac

rxe_up || die "no rxe"
stock_needs rdma_srq || die "the stock modules do not load"
resources=$(rdma_resources)
load krdma || die "krdma does not load"
mark
if [ "$NODE" = a ]; then
	check "rdma_srq loads" load rdma_srq
	barrier listening
else
	barrier listening
	check "rdma_srq loads" load rdma_srq "peer=$(number4 a)" \
		"connections=$CONNECTIONS" "count=$COUNT"
	check "all messages are sent" within 120 \
		logged "rdma_srq: $TOTAL messages sent over $CONNECTIONS connections"
fi
barrier sent
check "rdma_srq unloads" unload rdma_srq
diag "$(klog | grep 'rdma_srq: rxe0:')"
if [ "$NODE" = a ]; then
	check "all messages came, none damaged" logged "rdma_srq: rxe0: $TOTAL received, 0 damaged"
	check_eq "each connection has received its own" \
		"$(logged_times "rdma_srq: a connection ends: $COUNT received")" "$CONNECTIONS"
	check "the queue was filled up when the device said so" [ "$(refills)" -gt 0 ]
fi
check "krdma unloads" unload krdma
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
barrier end
