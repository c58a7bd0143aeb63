# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a writes, node b lends.

if [ "$NODE" = a ]; then
	plan 7
else
	plan 8
fi

over() {
	[ "$(logged_times "$1")" = "$2" ] || logged 'rdma_write: .*failed'
}

rxe_up || die "no rxe"
load krdma || die "krdma does not load"
resources=$(rdma_resources)
mark
barrier up
if [ "$NODE" = a ]; then
	barrier lending
	check "the module loads" load rdma_write "peer=$(number4 b)" timeout=60000
	within 60 over 'A: done' 2
	diag "$(klog | grep rdma_write)"
	check_eq "a write after the revocation fails with a remote access error, twice" \
		"$(logged_times 'A: a write after the revocation: RemoteAccess')" 2
	check "the key was revoked by its owner" logged 'A: done, the key was revoked by B'
	check "and by the writer" logged 'A: done, the key was revoked by A'
	barrier written
else
	check "the module loads" load rdma_write timeout=60000
	barrier lending
	barrier written
	within 20 over 'B: nothing was written' 2
	diag "$(klog | grep rdma_write)"
	check_eq "what was written was seen, twice" "$(logged_times 'B: the other side has written 8192 bytes')" 2
	check "the key was revoked here" logged 'B: revoked the key'
	check "and by the writer" logged 'B: the other side has revoked the key'
	check_eq "nothing was written after the revocations" "$(logged_times 'B: nothing was written after')" 2
fi
check "the module unloads" unload rdma_write
check "rdma resource shows what it showed before" within 20 rdma_resources_are "$resources"
check_not "nothing has failed" logged 'rdma_write: .*failed'
barrier end
