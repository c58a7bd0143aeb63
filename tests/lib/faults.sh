# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Allocations that fail when a test wants it, of slab objects and of pages alike. Needs a kernel with
# FAULT_INJECTION, which the strict kernel is.
#
# What may fail is chosen by where the allocation comes from: only those count that have a function
# between two addresses on their stack, for instance one of a module.

FAULTS="/sys/kernel/debug/failslab /sys/kernel/debug/fail_page_alloc"
# Where x86-64 has modules, all of them: what is allocated on a module's behalf, but not by exec or by
# the loading of a module itself.
# shellcheck disable=SC2034 # for scripts
MODULES_START=0xffffffffa0000000
# shellcheck disable=SC2034
MODULES_END=0xffffffffff000000

# busybox's insmod tries in another way when it is refused, and succeeds: this is kmod's, which does not. The test
# names kmod among its tools.
INSMOD=/tmp/kmod/insmod

# _faults FILE VALUE: set it for both kinds.
_faults() {
	local folder

	for folder in $FAULTS; do
		echo "$2" >"$folder/$1" || return 1
	done
}

# module_range MODULE...: START and END of an address range with all the modules' code in it.
module_range() {
	local name size rest address start='' end='' last

	while read -r name size rest; do
		case " $* " in
		*" $name "*) ;;
		*) continue ;;
		esac
		address=${rest##* 0x}
		address=0x${address%% *}
		last=$(printf '0x%x' $((address + size)))
		# All addresses here have as many digits, and so sort as text.
		[ -n "$start" ] && [ "$address" \> "$start" ] || start=$address
		[ -n "$end" ] && [ "$last" \< "$end" ] || end=$last
	done </proc/modules
	[ -n "$start" ] && echo "$start $end"
}

# faults_arm START END: from now on fail_nth and faults_storm count allocations below that code, also
# those that may sleep, and single pages.
faults_arm() {
	mkdir -p "${INSMOD%/*}" && ln -sf /lab/bin/kmod "$INSMOD" || return 1
	_faults probability 0 && _faults interval 1 && _faults verbose 1 &&
		_faults stacktrace-depth 32 && _faults ignore-gfp-wait N || return 1
	echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
	_faults require-start "$1" && _faults require-end "$2"
}

# fail_nth N PROGRAM [ARGUMENT...]: run it with its Nth allocation failing; its status. FAULT_HIT says
# whether there were so many.
fail_nth() {
	local nth="$1" folder status

	shift
	_faults times 1
	(
		echo "$nth" >/proc/self/fail-nth || exit 70
		exec "$@"
	)
	status=$?
	FAULT_HIT=no
	for folder in $FAULTS; do
		# shellcheck disable=SC2034 # for scripts
		[ "$(cat "$folder/times")" = 1 ] || FAULT_HIT=yes
	done
	return "$status"
}

# fail_after KIND N: from now on the Nth allocation that counts fails, whoever makes it, and no other. KIND is
# failslab or fail_page_alloc. The kernel counts from its start, and only while one is to fail: so the count is
# known when one has. If none has, it is not, and N means nothing until one has again.
fail_after() {
	local folder="/sys/kernel/debug/$1" at

	eval "at=\${_SEEN_$1:-0}"
	! fail_known "$1" || at=$((at + $2))
	echo "$at" >"$folder/interval"
	echo 100 >"$folder/probability"
	echo 1 >"$folder/times"
}

fail_known() {
	eval "[ \${_KNOWN_$1:-yes} = yes ]"
}

# fail_after_end KIND: no more. Succeeds if one has failed; if not, so many allocations were not made.
fail_after_end() {
	local folder="/sys/kernel/debug/$1" left at known=yes

	echo 0 >"$folder/probability"
	read -r left <"$folder/times"
	read -r at <"$folder/interval"
	[ "$left" = 0 ] || known=no
	# With an interval of one it does not count.
	[ "$at" = 1 ] || eval "_SEEN_$1=$at _KNOWN_$1=$known"
	[ "$known" = yes ]
}

# faults_storm PERCENT: that share of the allocations fails, whoever makes them: also what work queues
# and interrupts do for a module. Ends with faults_calm.
faults_storm() {
	_faults interval 1
	_faults times -1
	_faults probability "$1"
}

faults_calm() {
	_faults probability 0
}
