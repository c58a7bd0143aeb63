# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Three nodes with the same keys and values. Node b goes through a reset, c says what no node would, on a the
# module goes and comes while the others are asked all the time.

. /lab/lib/rds.sh

PORT=4700
NL='
'

# ask NODE ITEM...: the answers of that node.
ask() {
	local server

	server=$(addr4 "$1")
	shift
	/lab/bin/rds_ask "$(addr4 "$NODE")" "$server" $PORT "$@"
}

kv_up() {
	load rds_kv local="$(number4 "$NODE")" first="$(number4 a)" count=3
}

serves() {
	[ "$(ask "$NODE" "get nothing")" = "error: no such key" ]
}

# has NODE KEY VALUE
has() {
	[ "$(ask "$1" "get $2")" = "ok $3" ]
}

# everywhere KEY VALUE
everywhere() {
	local other

	for other in $NODES; do
		has "$other" "$@" || return 1
	done
}

# agree KEY: all nodes have the same.
agree() {
	local first

	first=$(ask a "get $1")
	[ "${first#ok }" != "$first" ] && everywhere "$1" "${first#ok }"
}

# puts: what this node puts.
puts() {
	local i

	set --
	for i in $(seq "$PUTS"); do
		set -- "$@" "put one $NODE$i" "put $NODE$i from $NODE"
	done
	ask "$NODE" "$@" | sort | uniq -c | xargs
}

# complete NODE: it has all that all nodes have put.
complete() {
	local server="$1" from i all=

	set --
	for from in $NODES; do
		for i in $(seq "$PUTS"); do
			set -- "$@" "get $from$i"
			all="$all${NL}ok from $from"
		done
	done
	[ "$(ask "$server" "$@")" = "${all#"$NL"}" ]
}

# chars N: so many.
chars() {
	printf "%$1s" "" | tr ' ' x
}

# strange: what no node sends: less than a header, another version, no such message, more behind one that
# has nothing behind it, an entry without a key, with one that is cut off, too long or no text, with too long
# a value, with a byte that is to be zero.
strange() {
	local magic=00726b76 stamp=000000000000ffff0a000003

	echo "hex:$magic" "hex:${magic}010100" "hex:${magic}02010000$stamp" "hex:${magic}01000000$stamp" \
		"hex:${magic}01090000$stamp" "hex:${magic}01010000${stamp}61" "hex:${magic}01030100${stamp}61" \
		"hex:${magic}01020000$stamp" "hex:${magic}01020400${stamp}616161" \
		"hex:${magic}01022100$stamp$(chars 80 | sed 's/x/61/g')" "hex:${magic}01020100${stamp}20" \
		"hex:${magic}01020100${stamp}00" "hex:${magic}010201ff${stamp}6161" \
		"hex:${magic}01020100${stamp}61$(chars 1025 | sed 's/x/62/g')"
}

# fill: takes the places for keys that are left, and more.
fill() {
	local i

	set --
	for i in $(seq 256); do
		set -- "$@" "put fill$i x"
	done
	ask a "$@"
}

filled() {
	local i server="$1"

	set --
	for i in $(seq 256); do
		set -- "$@" "get fill$i"
	done
	ask "$server" "$@"
}

# cycle NAME: the module comes, gets everything, serves, and goes.
cycle() {
	kv_up && within 20 serves && [ "$(ask a "put one $1" "get one" "get b1")" = "ok${NL}ok $1${NL}ok from b" ] &&
		unload rds_kv
}

cycles() {
	local i

	for i in $(seq "$1"); do
		cycle "cycle$i" || return 1
	done
}

# traffic NODE: asks it, from here, until it is stopped.
traffic() {
	/lab/bin/rds_ask "$(addr4 "$NODE")" "$(addr4 "$1")" $PORT traffic:8 >"/tmp/traffic.$1" 2>&1 &
	eval "traffic_$1=$!"
}

# stop NODE: that traffic.
stop() {
	eval "kill \$traffic_$1 && wait \$traffic_$1" || {
		cat "/tmp/traffic.$1"
		return 1
	}
}

# busy NAME CYCLES: the others are asked all the time, while the module goes and comes on a.
busy() {
	barrier "$1"
	if [ "$NODE" = a ]; then
		check "the module goes and comes $2 times" cycles "$2"
		barrier "$1, over"
	else
		traffic a
		traffic "$NODE"
		barrier "$1, over"
		check "a is asked meanwhile" stop a
		check "and $NODE too" stop "$NODE"
		check_not "which answers" grep -x "answered 0" "/tmp/traffic.$NODE"
	fi
	barrier "$1, quiet"
}

if [ "$BOOT" = 0 ]; then
	case $NODE in
	a) plan 16 ;;
	b) plan 21 ;;
	*) plan 27 ;;
	esac
fi
rxe_up || die "no rxe"
load_all krdma rrds || die "the modules do not load"
[ "$BOOT" != 0 ] || barrier rrds
kv_up || die "rds_kv does not load"

if [ "$BOOT" = 0 ]; then
	check "it serves when another node has told it what there is" within 20 serves
	barrier serves
	if [ "$NODE" = a ]; then
		check_eq "put on a" "$(ask a "put colour dark green" "get colour")" "ok${NL}ok dark green"
		check_eq "put for the traffic" \
			"$(ask a "put t0 0" "put t1 0" "put t2 0" "put t3 0" "put t4 0" "put t5 0" "put t6 0" "put t7 0" | uniq -c | xargs)" "8 ok"
	fi
	barrier put
	check "what was put on a is read on all" within 10 everywhere colour "dark green"
	barrier read
	check_eq "all put at once, one key and others" "$(puts)" "$((2 * PUTS)) ok"
	barrier "all have put"
	check "the one has the same value everywhere" within 10 agree one
	check "the others are complete" within 10 complete "$NODE"
	barrier complete
	# All clocks are the same now, and nobody hears of the others before all have put.
	mute 0
	barrier muted
	check_eq "put on each at the same time" "$(ask "$NODE" "put tie $NODE")" ok
	barrier tie
	unmute 0
	check "the one with the highest address wins everywhere" within 10 everywhere tie c
	barrier won
	case $NODE in
	b) reset_node ;;
	a)
		check_eq "put while b is away" "$(ask a "put away yes")" ok
		publish away put
		;;
	c)
		lookup away
		check "it is read on c" within 10 has c away yes
		;;
	esac
else
	check "b has started again" within 20 serves
	check "it has all that was put before" complete b
	check "and what was put while it was away" has b away yes
	check_eq "put on b" "$(ask b "put colour blue")" ok
fi
barrier "b is back"
check "b's put is later than those before" within 10 everywhere colour blue
barrier blue

# Before there are all the keys that there can be: a node that comes is told of each.
[ "$NODE" != a ] || unload rds_kv || die "rds_kv does not unload"
busy "to warm up" 3
[ "$NODE" != a ] || memory_mark
busy cycles "$CYCLES"
if [ "$NODE" = a ]; then
	check_memory "memory is as before" "$CYCLES"
	{ kv_up && within 20 serves; } || die "rds_kv does not load again"
else
	check "the last that was put there is here" has "$NODE" one "cycle$CYCLES"
fi
barrier "a is back"
# It says once what it drops.
[ "$NODE" != b ] || { unload rds_kv && kv_up && within 20 serves; } || die "rds_kv does not load again"
mark
barrier "b is new"

if [ "$NODE" = c ]; then
	unload rds_kv || die "rds_kv does not unload"
	for other in a b; do
		# shellcheck disable=SC2046 # words on purpose
		check_eq "what is no message from a node changes nothing on $other" \
			"$(ask "$other" -p $PORT $(strange) "random:$JUNK:00726b76" \
				"random:$JUNK:00726b7601" "get colour" "get one" "get b1")" \
			"ok blue${NL}ok cycle$CYCLES${NL}ok from b"
		check_eq "nor does a message from who is no node" \
			"$(ask "$other" hex:00726b7601010000000000000000000000000000 hex:6f6b "get colour")" "ok blue"
	done
	check_eq "what is no request is answered" "$(ask a "" "get" "get  colour" "put" "put key" "lose colour" \
		"put $(chars 33) x" "put key $(chars 1025)" long:60000 "put key $(chars 1024)" "put key ")" \
		"error: there is no such request: write put KEY VALUE, or get KEY
error: a key is 1 to 32 visible characters of ASCII: choose another one
error: a key is 1 to 32 visible characters of ASCII: choose another one
error: a key is 1 to 32 visible characters of ASCII: choose another one
error: put what? Write: put KEY VALUE
error: there is no such request: write put KEY VALUE, or get KEY
error: a key is 1 to 32 visible characters of ASCII: choose another one
error: a value has at most 1024 bytes: store it in parts, under several keys
error: there is no such request: write put KEY VALUE, or get KEY
ok
ok"
	fill >/tmp/fill
	check_le "so many keys are set" "$(grep -c '^ok$' /tmp/fill)" $((256 - 3 * PUTS - 13))
	check_eq "no more are" "$(tail -n 1 /tmp/fill)" \
		"error: 256 keys are set, and there is room for no more: set one of these"
	kv_up || die "rds_kv does not load again"
	check "c has it again" within 20 serves
	check "all of it" complete c
	check_eq "with the last keys" "$(filled c)" "$(filled a)"
fi
barrier strange
if [ "$NODE" != c ]; then
	check_eq "the log has one line of that" "$(logged_times 'rds_kv: dropped a message')" 1
fi

unload rds_kv || die "rds_kv does not unload"
check "nothing is left" unload rrds krdma
