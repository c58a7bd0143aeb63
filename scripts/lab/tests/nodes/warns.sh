# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
plan 1
echo "WARNING: CPU: 0 PID: 1 at lib/made_up.c:1" >/dev/kmsg
echo "made_up: Unknown symbol nothing (err -2)" >/dev/kmsg
ok "one"
