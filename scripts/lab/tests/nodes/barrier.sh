# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
plan 2
barrier both
ok "both came"
[ "$NODE" = a ] || echo c >/proc/sysrq-trigger
barrier never
ok "not reached"
