# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
plan 1
sleep 100000
