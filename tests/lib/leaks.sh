# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Memory that nobody points to any more, as kmemleak finds it; nothing where the kernel has none.

KMEMLEAK=/sys/kernel/debug/kmemleak
LEAKS=/tmp/leaks

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

# leaks WHEN: scan twice, as an object counts as lost only if it is old enough and did not change
# between two scans; write what is lost into the kernel's log, where the runner finds it.
leaks() {
	[ -w "$KMEMLEAK" ] || return 0
	sleep 6
	echo scan >"$KMEMLEAK"
	echo scan >"$KMEMLEAK"
	leaks_found >"$LEAKS"
	while IFS= read -r line; do
		echo "$line" >/dev/kmsg
	done <"$LEAKS"
	echo "lab: kmemleak, $1: $(grep -c leaked: "$LEAKS") leaks" >/dev/kmsg
	echo clear >"$KMEMLEAK"
}
