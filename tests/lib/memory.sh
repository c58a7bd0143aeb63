# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Does something that is done many times leave memory behind?
#
# Two figures are compared. The kernel's own memory (objects in use in all slabs, vmalloc, where
# modules lie, per-CPU memory) comes back to within some 50 kB whatever was done, because
# the slabs give up what they keep half filled when told to. All memory in use, whoever has it,
# shows whole pages that no slab knows of, and swings by some 200 kB.
#
# Threads are counted instead of weighed: the kernel makes workers for its queues as the load asks,
# keeps them for minutes, and each weighs 35 kB. All others must be gone.

KERNEL_NOISE=64
USED_NOISE=512
# A cycle may leave this many bytes on average: no kernel object that matters is smaller.
CYCLE_BYTES=256

# settle: let go of what is only cached, and let deferred freeing finish.
settle() {
	local shrink

	sync
	# Each processor keeps megabytes of free pages for itself, which count as used: keep that small.
	echo 10000 >/proc/sys/vm/percpu_pagelist_high_fraction
	echo 3 >/proc/sys/vm/drop_caches
	usleep 300000
	for shrink in /sys/kernel/slab/*/shrink; do
		echo 1 >"$shrink"
	done 2>/dev/null
}

# meminfo FIELD: kB.
meminfo() {
	sed -n "s/^$1: *\([0-9]*\) kB\$/\1/p" /proc/meminfo
}

# slab_memory: kB of the objects in use in all slabs but those of threads.
slab_memory() {
	awk 'NR > 2 && $1 !~ /^(task_struct|signal_cache|sighand_cache)$/ { sum += $2 * $4 }
		END { printf "%d\n", sum / 1024 }' /proc/slabinfo
}

# threads: how many there are, without the kernel's workers. Nothing else of ours runs while they are listed: of
# the two programs of a pipe the second is there already, or not yet.
threads() {
	local names

	names=$(cat /proc/[0-9]*/task/*/comm 2>/dev/null)
	echo "$names" | grep -vc '^kworker/'
}

# slab_objects: of each slab, the kB of the objects in use.
slab_objects() {
	awk 'NR > 2 { printf "%s %d\n", $1, $2 * $4 / 1024 }' /proc/slabinfo
}

# slabs_grown: the slabs that have more in use than when the memory was marked.
slabs_grown() {
	slab_objects | awk 'NR == FNR { before[$1] = $2; next }
		$2 - before[$1] >= 4 { printf " %s +%d", $1, $2 - before[$1] }' /tmp/slabs -
}

# kernel_memory: kB that the kernel holds and cannot give back. The stacks of threads, each of four
# pages and one that is not there, are a part of VmallocUsed.
kernel_memory() {
	echo $(($(slab_memory) + $(meminfo VmallocUsed) - $(meminfo KernelStack) * 5 / 4 + $(meminfo Percpu)))
}

# used_memory: kB of all memory that is not available, but for that of threads: beside its stack each
# has as much again.
used_memory() {
	echo $(($(meminfo MemTotal) - $(meminfo MemAvailable) - 2 * $(meminfo KernelStack)))
}

# least_used LOOKS: kB of memory in use, the least of some looks: what is being freed does not count.
least_used() {
	local least=$((1 << 30)) tries=0 used

	while [ "$tries" -lt "$1" ]; do
		tries=$((tries + 1))
		settle
		used=$(used_memory)
		[ "$used" -ge "$least" ] || least=$used
	done
	echo "$least"
}

memory_report() {
	local fields='MemFree|MemAvailable|Slab|SUnreclaim|VmallocUsed|Percpu|KernelStack|PageTables'

	echo "slab objects: $(slab_memory) kB $(grep -E "^($fields):" /proc/meminfo | xargs)"
}

# memory_tells: whether the figures mean anything. KASAN keeps what was freed, and the other checkers
# write down all that happens; where they are, kmemleak looks for what is lost (leaks.sh).
memory_tells() {
	[ ! -e /sys/kernel/debug/kmemleak ]
}

# memory_mark: remember what is in use now: the least of several looks, because what is freed a
# little later would hide a leak of the same size. Call it when the thing has been done often
# enough to have filled what is filled once.
memory_mark() {
	local tries=0 kernel used

	memory_tells || return 0
	# First, because to look into /proc takes memory.
	MEMORY_THREADS=$(threads)
	MEMORY_KERNEL=$((1 << 30))
	MEMORY_USED=$((1 << 30))
	while [ "$tries" -lt 5 ]; do
		settle
		kernel=$(kernel_memory)
		used=$(used_memory)
		[ "$kernel" -ge "$MEMORY_KERNEL" ] || MEMORY_KERNEL=$kernel
		[ "$used" -ge "$MEMORY_USED" ] || MEMORY_USED=$used
		tries=$((tries + 1))
	done
	MEMORY_BEFORE=$(memory_report)
	slab_objects >/tmp/slabs
}

# memory_grown CYCLES: succeeds if more is in use than at the mark, beyond the noise, and stays so.
# Freed memory comes back with a delay (RCU, work queues), a leak never does: so look several times.
memory_grown() {
	local tries=0 allowed=$(($1 * CYCLE_BYTES / 1024))

	GROWN_THREADS=$(($(threads) - MEMORY_THREADS))
	while [ "$GROWN_THREADS" -gt 0 ] && [ "$tries" -lt 5 ]; do
		sleep 1
		GROWN_THREADS=$(($(threads) - MEMORY_THREADS))
		tries=$((tries + 1))
	done
	tries=0
	while [ "$tries" -lt 10 ]; do
		settle
		GROWN_KERNEL=$(($(kernel_memory) - MEMORY_KERNEL))
		GROWN_USED=$(($(used_memory) - MEMORY_USED))
		if [ "$GROWN_KERNEL" -le $((KERNEL_NOISE + allowed)) ] && [ "$GROWN_THREADS" -le 0 ] &&
			[ "$GROWN_USED" -le $((USED_NOISE + allowed)) ]; then
			return 1
		fi
		tries=$((tries + 1))
	done
	return 0
}

# memory_told CYCLES: what became of it.
memory_told() {
	diag "after $1 cycles: kernel memory $GROWN_KERNEL kB more, all memory $GROWN_USED kB more," \
		"$GROWN_THREADS threads more; slabs in kB:$(slabs_grown)"
}

# check_memory DESCRIPTION CYCLES [COMMAND...]: ok if the cycles since the mark left nothing behind. The command
# makes as many once more. If there is one, growth counts only if as many cycles add as much each time, as a leak
# does: what happens to be in use swings by what the noise allows, and now and then by more.
check_memory() {
	local what="$1" cycles="$2" again=2

	shift 2
	if ! memory_tells; then
		skip "$what" "this kernel's checkers keep memory; kmemleak looks for leaks"
		return 0
	fi
	while memory_grown "$cycles"; do
		if [ $# = 0 ] || [ "$again" = 0 ]; then
			not_ok "$what"
			diag "before: $MEMORY_BEFORE"
			diag "after:  $(memory_report)"
			memory_told "$cycles"
			return 1
		fi
		memory_told "$cycles"
		again=$((again - 1))
		memory_mark
		"$@" >"$CHECK_OUT" 2>&1 || {
			not_ok "$what"
			diag "failed when made again: $*"
			sed 's/^/#   /' "$CHECK_OUT"
			return 1
		}
	done
	ok "$what"
	memory_told "$cycles"
}
