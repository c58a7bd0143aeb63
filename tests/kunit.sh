# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# The results of each suite are in debugfs as KTAP of their own; they become subtests here.

RESULTS=/sys/kernel/debug/kunit

# shellcheck disable=SC2086 # words on purpose
load_all $MODULES || die "the modules do not load"
cat "$RESULTS"/*/results >/tmp/results
suites=$(grep -c '^\(not \)\?ok 1 ' /tmp/results)
plan $((suites + 2))
check "there are suites" [ "$suites" -gt 0 ]
# A suite's tests come before its own result, which has a number of its own.
while IFS= read -r line; do
	case $line in
	'    '*) echo "$line" ;;
	'ok 1 '*) ok "${line#ok 1 }" ;;
	'not ok 1 '*) not_ok "${line#not ok 1 }" ;;
	esac
done </tmp/results
diag "$(grep -c '^    \(not \)\?ok ' /tmp/results) tests in $suites suites"

reversed=
for name in $MODULES; do
	reversed="$name $reversed"
done
# shellcheck disable=SC2086
check "the modules go" unload $reversed
