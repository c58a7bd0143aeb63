# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a answers, node b asks.

said() { logged "rdma_cm_echo: $1"; }

plan 8
check "rxe0 comes up" rxe_up
before=$(rdma_resources)
check "krdma loads" load krdma
mark
if [ "$NODE" = a ]; then
	check "it listens" load rdma_cm_echo
	barrier listening
	barrier asked
	check "the question came" said "rxe0: question: hello"
	check "the question to be refused came" said "rxe0: question: refuse me"
	check_eq "rdma resource show names the sample as owner" "$(owners cm_id rxe0)" "[rdma_cm_echo]"
	check "rmmod" unload rdma_cm_echo
else
	barrier listening
	check "it asks" load rdma_cm_echo "peer=$(number4 a)"
	check "the answer is the question" within 10 said "answer: hello, queue pair 0x1234"
	unload rdma_cm_echo
	load rdma_cm_echo "peer=$(number4 a)" refuse=1
	check "a refusal carries data" within 10 said "refused: Consumer, refuse me"
	check "rmmod" unload rdma_cm_echo
	barrier asked
	check_not "nothing was lost" said "the question was lost"
fi
check_eq "nothing is left" "$(rdma_resources)" "$before"
barrier end
