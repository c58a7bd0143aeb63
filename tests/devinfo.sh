# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The same device through two programs: ours in the kernel, and the one users know. ibv_devinfo
# prints more; what both print must be equal.

plan 5

# normal: "key value" lines, without the notes that only one of them adds.
normal() {
	sed -e 's/[[:space:]]\{1,\}/ /g' -e 's/^ //' -e 's/ *$//' -e 's/GID\[ */GID[/' \
		-e 's/ ([0-9]*)$//'
}

# ours DEVICE: its block, without the prefix and what ibv_devinfo does not print in this form.
ours() {
	klog | sed -n 's/^rdma_devinfo: //p' |
		awk -v dev="$1" '/^hca_id:/ { on = ($2 == dev) } on' | normal |
		sed -e 's/, eth[0-9]*$//' | grep -v -e '^phys_port_cnt' -e '^pkey' -e '^fw_ver:$'
}

# theirs DEVICE: its block, cut to the keys that ours has.
theirs() {
	ibv_devinfo -v -d "$1" | normal
}

rxe_up || die "no rxe"
need_uverbs || die "no /dev/infiniband"
mark
check "rdma_devinfo loads" load_all krdma rdma_devinfo
ours rxe0 >/tmp/ours0
theirs rxe0 >/tmp/theirs0
ours rxe1 >/tmp/ours1
theirs rxe1 >/tmp/theirs1
check "there is much to compare" [ "$(wc -l </tmp/ours0)" -ge 25 ]
for slot in 0 1; do
	different=
	while read -r line; do
		grep -q -x -F -e "$line" "/tmp/theirs$slot" && continue
		different="$different
ours: $line
theirs: $(grep -e "^${line%% *}" "/tmp/theirs$slot" | head -n 1)"
	done <"/tmp/ours$slot"
	check_eq "rxe$slot: all that both print is equal" "$different" ""
done
check "rdma_devinfo unloads" unload rdma_devinfo krdma
