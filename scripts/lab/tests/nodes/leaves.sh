# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
plan 1
# The clean-up unloads what MODULES names: pretend that sch_netem is ours, and use it.
sed -i "s/^MODULES=.*/MODULES=sch_netem/" /lab/env
tc qdisc add dev lo root netem delay 1ms || die "no netem"
ok "one"
