# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# What a node whose time is nearly up tells of itself, beside what the kernel tells of blocked tasks.

for task in /proc/[0-9]*; do
	[ -z "$(cat "$task/cmdline" 2>/dev/null)" ] && continue
	echo "lab: ${task#/proc/}: $(tr '\0' ' ' <"$task/cmdline")"
	cat "$task/stack"
done
rdma resource show
rdma statistic show
if [ -x /lab/bin/rds ]; then
	/lab/bin/rds info --paths -k -n -r -s -t -R -T -c
fi
ss -tnoei
