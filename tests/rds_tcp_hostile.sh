# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a has no RDS: it says what it likes to the victim. Between the victim and the good node messages go on.

. /lab/lib/rds.sh

VICTIM=$(addr4 victim)
PORT=16385
# As the kernel lists it.
HEX=4001

# many: beside the noise.
many() {
	[ "$(awk '/ cases, / { print $1 }' /tmp/hostile)" -ge $((150 + 2 * NOISE)) ]
}

attacker() {
	plan 3
	barrier ready
	check "connections end, or stay, as they should" hostile
	check "at least 150 cases" many
	barrier deeds
	for _ in $(seq "$SILENT"); do
		sleep 1000 | nc "$VICTIM" "$PORT" >/dev/null 2>&1 &
	done
	check "connections that say nothing" within 20 connected
	barrier silent
	barrier over
}

hostile() {
	/lab/bin/rds-tcp-hostile --patience $((10 * SLOW)) --seed "$SEED" --noise "$NOISE" "$VICTIM" "$PORT_OPEN" >/tmp/hostile
	status=$?
	cat /tmp/hostile
	return "$status"
}

# connected: whether one is there that says nothing. Each takes the place of the last one.
connected() {
	grep -q ":$HEX 01 " /proc/net/tcp
}

# streams NAME: messages both ways between the good node and the victim; all have to come.
streams() {
	check "messages go on: $1" rds ping -c 5 -i 0 -s 20000 -W 100s "$PEER"
}

# pings: both ways again and again, until all is over.
pings() {
	while [ ! -e /tmp/over ]; do
		/lab/bin/rds ping -c 5 -i 0 -s 20000 -W 100s "$PEER" >/tmp/beside || return 1
	done
}

# one_left: of all that are established eight are the good node's lanes.
one_left() {
	[ "$(grep -c ":$HEX [^ ]* 01 " /proc/net/tcp6)" -le 9 ]
}

friend() {
	[ "$NODE" = good ] && PEER=$VICTIM || PEER=$(addr4 good)
	plan "$([ "$NODE" = good ] && echo 5 || echo 8)"
	load_rrds || die "the modules do not load"
	command rds recv -o /dev/null "$(addr4 "$NODE"):$PORT_OPEN" >/tmp/open 2>&1 &
	open=$!
	within 20 bound "$PORT_OPEN" || die "rds recv does not bind: $(cat /tmp/open)"
	streams before
	barrier ready
	pings &
	beside=$!
	barrier deeds
	: >/tmp/over
	check "messages go on: beside the deeds" wait "$beside"
	streams "after the deeds"
	barrier silent
	streams "beside connections that say nothing"
	if [ "$NODE" = victim ]; then
		check "the reader goes on" kill -0 "$open"
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
