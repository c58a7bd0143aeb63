# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The results of each suite are in debugfs as KTAP of their own; they become subtests here.

RESULTS=/sys/kernel/debug/kunit

# suites: the suites of the modules that are loaded now.
suites() {
	for folder in "$RESULTS"/*/results; do
		[ ! -e "$folder" ] || basename "$(dirname "$folder")"
	done
}

# show SUITE: its tests as a subtest, then its result as one of ours. The file has the same around it,
# with a number of its own.
show() {
	grep '^    ' "$RESULTS/$1/results"
	check "$1" grep -q "^ok 1 $1\$" "$RESULTS/$1/results"
}

# shellcheck disable=SC2086 # words on purpose
load_all $MODULES || die "the modules do not load"
# shellcheck disable=SC2046
set -- $(suites)
plan $(($# + 2))
check "there are suites" [ $# -gt 0 ]
for suite in "$@"; do
	show "$suite"
done
diag "$(grep -h -c '^    \(not \)\?ok ' "$RESULTS"/*/results | awk '{ n += $1 } END { print n }') tests in $# suites"

reversed=
for name in $MODULES; do
	reversed="$name $reversed"
done
# shellcheck disable=SC2086
check "the modules go" unload $reversed
