# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# b and c join a group; a joins too, sends a burst to the group, and asks b with a wrong key and the right one.

GROUP=0xef010203

# all_members N: each member of the group has that many datagrams.
all_members() {
	[ "$(logged_times "rdma_ud: queue pair [0-9]*: $1 of the group")" = "$MEMBERS" ]
}

case $NODE in
a) plan 10 ;;
*) plan 8 ;;
esac

rxe_up || die "no rxe"
stock_needs rdma_ud || die "the stock modules do not load"
resources=$(rdma_resources)
load krdma || die "krdma does not load"
mark
here=$(number4 "$NODE")
if [ "$NODE" = a ]; then
	barrier joined
	check "rdma_ud loads, to ask b and to send to the group" load rdma_ud "local=$here" \
		"group=$GROUP" "members=$MEMBERS" "peer=$(number4 b)" \
		"count=$QUESTIONS" "burst=$BURST"
	check "all questions with the right key are answered" \
		within 60 logged "rdma_ud: all $QUESTIONS questions answered"
	check "the burst is sent" within 60 logged "rdma_ud: $BURST datagrams sent to the group"
else
	check "rdma_ud loads" load rdma_ud "local=$here" "group=$GROUP" "members=$MEMBERS"
	check "it joins the group" within 20 logged "rdma_ud: rxe0: $MEMBERS members of ::ffff:239.1.2.3"
	barrier joined
fi
check "each member gets all of the burst" within 60 all_members "$BURST"
barrier got
check "rdma_ud unloads" unload rdma_ud
check_eq "each got each once, none was damaged" \
	"$(logged_times "member [0-9]*: $BURST of the group, 0 repeated, 0 damaged, 0 others")" "$MEMBERS"
case $NODE in
a)
	check_eq "there are as many answers as questions" \
		"$(klog | grep -o "$QUESTIONS answers, 0 astray, 0 damaged")" \
		"$QUESTIONS answers, 0 astray, 0 damaged"
	check_eq "nobody has sent to a with a wrong key" "$(logged_times 'rxe0: 0 wrong keys')" 1
	;;
b)
	check_eq "what came with a wrong key was counted and not delivered" \
		"$(klog | grep -o "$QUESTIONS wrong keys, .* damaged")" \
		"$QUESTIONS wrong keys, $QUESTIONS questions, 0 answers, 0 astray, 0 damaged"
	;;
c)
	check_eq "nothing else came" "$(klog | grep -o '[0-9]* wrong keys, .* damaged')" \
		"0 wrong keys, 0 questions, 0 answers, 0 astray, 0 damaged"
	;;
esac
check "krdma unloads" unload krdma
check_eq "rdma resource shows what it showed before" "$(rdma_resources)" "$resources"
