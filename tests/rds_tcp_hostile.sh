# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a has no RDS: it sends what it likes to the victim's port. Between the victim and the good node messages go on.

. /lab/lib/rds.sh

VICTIM=$(addr4 victim)
PORT=16385
# As the kernel lists it.
HEX=4001

# bytes HEX...: these.
bytes() {
	# shellcheck disable=SC2059 # a format on purpose
	printf "$(echo "$*" | tr -d ' ' | sed 's/../\\x&/g')"
}

zeros() {
	head -c "$1" /dev/zero
}

# header SEQ LEN SPORT DPORT FLAGS: in hexadecimal, each as long as it is on the wire.
header() {
	bytes "$1" 0000000000000000 "$2" "$3" "$4" "$5" 00 00000000 0000 00000000000000000000000000000000
}

# says: what comes from standard input, to the victim. What it can't connect for is in /tmp/nc.
says() {
	nc -w 2 "$VICTIM" "$PORT" >/dev/null 2>>/tmp/nc
}

# heard: whether the victim has taken all connections so far.
heard() {
	! grep "can't connect" /tmp/nc
}

# deed NUMBER: one of those that were thought of.
deed() {
	local one=0000000000000001

	case $1 in
	0) header $one 00000005 0fa1 0fa2 00 && echo hello ;;
	1) header $one 00000005 0fa1 0fa2 00 | head -c 20 ;;
	2) header $one ffffffff 0fa1 0fa2 00 && zeros 100000 ;;
	3) header $one 80000000 0fa1 0fa2 00 && zeros 100000 ;;
	4) header $one 00100001 0fa1 0fa2 00 && zeros 100000 ;;
	5) header $one 00100000 0fa1 0fa2 00 && zeros 500000 ;;
	6) header 0000000000000000 00002000 0000 0000 01 && zeros 8192 ;;
	7) header 0000000000000000 00000004 0000 0000 01 && zeros 4 ;;
	8) header 0000000000000000 00002001 0000 0000 01 && zeros 8193 ;;
	9) header 0000000000000000 00002000 0000 0000 03 && zeros 8192 ;;
	10) header ffffffffffffffff 00000001 0fa1 0fa2 04 && zeros 1 ;;
	11) header $one 00000000 0000 0000 00 && header $one 00000000 0000 0000 ff ;;
	12) header $one 00000000 0001 0000 00 && header $one 00000000 0000 0001 00 ;;
	13) bytes $one 0000000000000000 00000000 0001 0000 00 00 00000000 0000 05000006ffffffff0800ffffffffffff ;;
	14) bytes $one 0000000000000000 00000000 0001 0000 00 00 00000000 0000 05ffff06000000000800050001060000 ;;
	15) for _ in $(seq 200); do header $one 00000000 0fa1 0000 00; done ;;
	16) for _ in $(seq 200); do header $one 00000000 0fa1 "$(printf %04x "$PORT_OPEN")" 00; done ;;
	17) bytes $one ffffffffffffffff 00000000 0fa1 0000 02 ff ffffffff ffff 00000000000000000000000000000000 ;;
	esac
}
DEEDS=17

# fields: a header of which what counts is small, or noise.
fields() {
	od -A n -v -N 8 -t u1 /dev/urandom | {
		read -r a b c d e f g h
		header "$(printf %016x $((a % 4)))" "$(printf %08x $((b * b * c % 200000)))" \
			"$(printf %04x $((d % 3)))" "$(printf %04x $((e % 3)))" "$(printf %02x $((f % 8)))"
		head -c $((g * h)) /dev/urandom
	}
}

attacker() {
	plan 4
	: >/tmp/nc
	barrier ready
	for deed in $(seq 0 $DEEDS); do
		deed "$deed" | says
	done
	check "all that was thought of was tried" heard
	barrier deeds
	for _ in $(seq "$NOISE"); do
		head -c $((1 + $(od -A n -N 2 -t u2 /dev/urandom))) /dev/urandom | says
	done
	check "noise" heard
	for _ in $(seq "$HEADERS"); do
		for _ in 1 2 3 4; do fields; done | says
	done
	check "headers with noise in them" heard
	for _ in $(seq "$SILENT"); do
		sleep 1000 | nc "$VICTIM" "$PORT" >/dev/null 2>&1 &
	done
	check "connections that say nothing" within 20 connected
	barrier silent
	barrier over
}

# connected: whether one is there that says nothing. Each takes the place of the last one.
connected() {
	grep -q ":$HEX 01 " /proc/net/tcp
}

# streams NAME: messages both ways between the good node and the victim; all have to come.
streams() {
	check "messages go on: $1" rds ping -c 5 -i 0 -s 20000 -W 100s "$PEER"
}

# one_left: of all that are established eight are the good node's lanes.
one_left() {
	[ "$(grep -c ":$HEX [^ ]* 01 " /proc/net/tcp6)" -le 9 ]
}

friend() {
	[ "$NODE" = good ] && PEER=$VICTIM || PEER=$(addr4 good)
	plan "$([ "$NODE" = good ] && echo 4 || echo 8)"
	load_rrds || die "the modules do not load"
	command rds recv -o /dev/null "$(addr4 "$NODE"):$PORT_OPEN" >/tmp/open 2>&1 &
	open=$!
	within 20 bound "$PORT_OPEN" || die "rds recv does not bind: $(cat /tmp/open)"
	streams before
	barrier ready
	barrier deeds
	streams "after the deeds"
	barrier silent
	streams "beside connections that say nothing"
	if [ "$NODE" = victim ]; then
		check "the reader goes on" kill -0 "$open"
		check "what was too long was refused" eval "[ $(counted conn_reset) -ge 3 ]"
		check "of the attacker's connections one is left at most" within 20 one_left
	fi
	barrier over
	streams after
	kill "$open"
	wait "$open"
	# The attacker's last connection is there still.
	[ "$NODE" = good ] || check "rrds unloads" within 20 unload_rrds
	barrier end
}

PORT_OPEN=5000
if [ "$NODE" = a ]; then
	attacker
	barrier end
	# shellcheck disable=SC2046 # words on purpose
	kill $(pidof sleep nc)
else
	friend
fi
