# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Memory that nobody points to any more, as kmemleak finds it; nothing where the kernel has none.

KMEMLEAK=/sys/kernel/debug/kmemleak
LEAKS=/tmp/leaks
PLACES=/tmp/module.places

# leaks_places: remember where the modules are, for the traces name nothing that is not there any more.
leaks_places() {
	awk '{ printf "%s %s %s\n", $1, $2, $6 }' /proc/modules >"$PLACES"
}

# place ADDRESS: the module that was there, and how far into it.
place() {
	local name size base

	while read -r name size base; do
		if [ $(($1)) -ge $((base)) ] && [ $(($1)) -lt $((base + size)) ]; then
			printf '%s [%s+0x%x]\n' "$1" "$name" $(($1 - base))
			return
		fi
	done <"$PLACES"
	echo "$1"
}

# leaks_found: what kmemleak reports of a module's making, as lines for the kernel's log. Addresses
# without a name are of a module that is no longer there. The rest of the kernel is not our concern.
leaks_found() {
	awk '
		function flush() {
			if (ours)
				printf "%s---[ end of leak ]---\n", text
			text = ""
			ours = 0
		}
		/^unreferenced object/ { flush(); text = "kmemleak: leaked: " $0 "\n"; next }
		/^ *backtrace/ { text = text "Call Trace: " $0 "\n"; next }
		/^ *(\[<[0-9a-f]*>\] )?0xffffffff[0-9a-f]*$/ || / \[[a-z0-9_]*\]$/ { ours = 1 }
		{ text = text $0 "\n" }
		END { flush() }' "$KMEMLEAK"
}

# leaks: write what is lost into the kernel's log, where the runner finds it. An object counts as lost only if
# it is old enough and did not change between two scans. These take long, so they are made once, when our
# modules are gone: what one of them has forgotten is lost then too.
leaks() {
	[ -w "$KMEMLEAK" ] || return 0
	sleep 6
	echo scan >"$KMEMLEAK"
	echo scan >"$KMEMLEAK"
	leaks_found >"$LEAKS"
	while IFS= read -r line; do
		case $line in
		*' 0xffffffff'*) line="    $(place "0x${line##*0x}")" ;;
		esac
		echo "$line" >/dev/kmsg
	done <"$LEAKS"
	echo "lab: kmemleak: $(grep -c leaked: "$LEAKS") leaks" >/dev/kmsg
}
