# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Nodes a and b run rrds, c the C implementation, which joins when the two have talked. At last all talk over TCP. The
# lines for scripts/lab/demo.py go to the kernel log.

. /lab/lib/rds.sh

US=$(addr4 "$NODE")

# tell WORD...: to the demo.
tell() {
	echo "demo: $*" >/dev/kmsg
}

# field NAME: a number of the tool's JSON.
field() {
	sed -n "s/^ *\"$1\": \([0-9.]*\),*\$/\1/p" /tmp/said | head -n 1
}

# What carries the messages.
over=rdma

# serve COUNT: to COUNT clients, one after the other; barriers tell the others when.
serve() {
	local server at

	for at in $(seq "$1"); do
		command rds --transport $over stress --listen "$US" --once >/tmp/server 2>&1 &
		server=$!
		within 20 grep -q serving /tmp/server || die "no server: $(cat /tmp/server)"
		barrier "$NODE serves $at $over"
		check "the server of node $NODE saw all right ($over, $at)" wait "$server"
		barrier "$NODE has served $at $over"
	done
}

# client SERVER AT COUNT: exchanges with it, verified.
client() {
	barrier "$1 serves $2 $over"
	check "$3 messages each way with node $1 over $over" \
		rds --transport $over stress --json -d 16 -s 64 -i 0 -c "$3" "$(addr4 "$1")"
	tell "traffic from=$NODE to=$1 over=$over count=$(field exchanges) rate=$(field rate) p50=$(field p50) p90=$(field p90) p99=$(field p99)"
	barrier "$1 has served $2 $over"
}

# watch SERVER AT: stays out of what two others do.
watch() {
	barrier "$1 serves $2 $over"
	barrier "$1 has served $2 $over"
}

# meet PEER: the first messages to a node, and the memory that it takes to know it.
meet() {
	local before

	before=$(least_used 4)
	check "ping node $1" rds ping -c 5 -i 0 -W 60s "$(addr4 "$1")"
	tell "memory from=$NODE to=$1 kb=$(($(least_used 4) - before))"
}

case "$NODE" in
a) plan 8 ;;
b) plan 5 ;;
c) plan 6 ;;
esac
rxe_up || die "no rxe"
[ "$NODE" = c ] || check "krdma and rrds load" load_rrds
barrier loaded

# Two nodes with rrds.
[ "$NODE" != a ] || meet b
barrier met
case "$NODE" in
a) client b 1 "$MESSAGES" ;;
b) serve 1 ;;
c) watch b 1 ;;
esac

# The third joins, with each of them.
[ "$NODE" != c ] || check "the kernel's own RDS loads on node c" modprobe rds_rdma
barrier joined
[ "$NODE" != c ] || meet a
barrier "met again"
case "$NODE" in
a)
	serve 1
	watch b 1
	client c 1 "$JOINED"
	;;
b)
	watch a 1
	serve 1
	watch c 1
	;;
c)
	client a 1 "$JOINED"
	client b 1 "$JOINED"
	serve 1
	;;
esac

# Over TCP: nobody needs RDMA for that.
over=tcp
[ "$NODE" != c ] || modprobe rds_tcp || die "the kernel's own RDS over TCP does not load"
barrier "joined over TCP"
case "$NODE" in
a)
	client b 1 "$JOINED"
	client c 1 "$JOINED"
	;;
b)
	serve 1
	watch c 1
	;;
c)
	watch b 1
	serve 1
	;;
esac
[ "$NODE" = c ] || check "the modules unload" unload rrds krdma
barrier end
