# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Does something that is done many times leave memory behind?

# settle: let go of what is only cached, and let deferred freeing finish.
settle() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	echo 1 >/proc/sys/vm/compact_memory 2>/dev/null
	usleep 300000
}

# meminfo FIELD: kB.
meminfo() {
	sed -n "s/^$1: *\([0-9]*\) kB\$/\1/p" /proc/meminfo
}

# kernel_memory: kB that the kernel holds and cannot give back: slabs, vmalloc (modules are there), per-CPU, stacks.
kernel_memory() {
	awk '/^(SUnreclaim|VmallocUsed|Percpu|KernelStack):/ { sum += $2 } END { print sum }' /proc/meminfo
}

# used_memory: kB of all memory that is not available, whoever has it.
used_memory() {
	echo $(($(meminfo MemTotal) - $(meminfo MemAvailable)))
}

memory_report() {
	grep -E '^(MemFree|MemAvailable|Slab|SUnreclaim|VmallocUsed|Percpu|KernelStack|PageTables):' /proc/meminfo | xargs
}

# memory_mark: remember what is in use now; call it when the thing has been done often enough to have filled all caches.
memory_mark() {
	settle
	MEMORY_KERNEL=$(kernel_memory)
	MEMORY_USED=$(used_memory)
	MEMORY_BEFORE=$(memory_report)
}

# memory_grown TOLERANCE: succeeds if more than the tolerance (kB) is in use than at the mark, and stays so.
# Freed memory comes back with a delay (RCU, per-CPU lists), a leak never does: so look several times.
memory_grown() {
	local tries=0 kernel used

	while [ "$tries" -lt 10 ]; do
		settle
		kernel=$(($(kernel_memory) - MEMORY_KERNEL))
		used=$(($(used_memory) - MEMORY_USED))
		if [ "$kernel" -le "$1" ] && [ "$used" -le "$1" ]; then
			return 1
		fi
		tries=$((tries + 1))
	done
	return 0
}

# check_memory DESCRIPTION CYCLES BYTES: ok if not even that many bytes a cycle were left since the mark. The floor of
# 256 kB is the noise of page-sized accounting that two processors' caches make without any leak.
check_memory() {
	local tolerance=$(($2 * $3 / 1024))

	[ "$tolerance" -ge 256 ] || tolerance=256
	if memory_grown "$tolerance"; then
		not_ok "$1"
		diag "more than $tolerance kB were left behind by $2 cycles"
		diag "before: $MEMORY_BEFORE"
		diag "after:  $(memory_report)"
		return 1
	fi
	ok "$1"
	diag "after $2 cycles: kernel $(($(kernel_memory) - MEMORY_KERNEL)) kB, all $(($(used_memory) - MEMORY_USED)) kB (at most $tolerance)"
}
