# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Test results as KTAP. A script says `plan N` first; a missing result is a failure.

KTAP_PLAN=0
KTAP_DONE=0
KTAP_BAD=0
CHECK_OUT=/tmp/check.out

ktap_begin() {
	echo "KTAP version 1"
}

# plan N: how many results will follow.
plan() {
	KTAP_PLAN=$1
	echo "1..$1"
}

# diag TEXT...: a remark in the results; text of several lines is fine.
diag() {
	echo "$*" | sed 's/^/# /'
}

ok() {
	KTAP_DONE=$((KTAP_DONE + 1))
	echo "ok $KTAP_DONE - $*"
}

not_ok() {
	KTAP_DONE=$((KTAP_DONE + 1))
	KTAP_BAD=$((KTAP_BAD + 1))
	echo "not ok $KTAP_DONE - $*"
}

# skip DESCRIPTION REASON
skip() {
	KTAP_DONE=$((KTAP_DONE + 1))
	echo "ok $KTAP_DONE - $1 # SKIP $2"
}

# check DESCRIPTION COMMAND...: ok if the command succeeds; its output is shown only if not.
check() {
	local what="$1"

	shift
	if "$@" >"$CHECK_OUT" 2>&1; then
		ok "$what"
		return 0
	fi
	not_ok "$what"
	diag "failed: $*"
	sed 's/^/#   /' "$CHECK_OUT"
	return 1
}

# check_not DESCRIPTION COMMAND...: ok if the command fails.
check_not() {
	local what="$1"

	shift
	if "$@" >"$CHECK_OUT" 2>&1; then
		not_ok "$what"
		diag "succeeded, but must not: $*"
		sed 's/^/#   /' "$CHECK_OUT"
		return 1
	fi
	ok "$what"
}

# check_eq DESCRIPTION GOT WANTED
check_eq() {
	if [ "$2" = "$3" ]; then
		ok "$1"
		return 0
	fi
	not_ok "$1"
	diag "got:"
	echo "$2" | sed 's/^/#   /'
	diag "wanted:"
	echo "$3" | sed 's/^/#   /'
	return 1
}

# check_le DESCRIPTION GOT MOST
check_le() {
	if [ "$2" -le "$3" ]; then
		ok "$1"
		return 0
	fi
	not_ok "$1"
	diag "got $2, wanted at most $3"
	return 1
}

# die REASON...: nothing that follows can make sense.
die() {
	diag "$*"
	exit 70
}

# The script's last act, whether it wants or not.
ktap_finish() {
	local status="$1"

	trap - EXIT
	if [ "$KTAP_PLAN" -eq 0 ]; then
		echo "1..$((KTAP_DONE + 1))"
		not_ok "the script ended without a plan (status $status)"
	elif [ "$KTAP_DONE" -ne "$KTAP_PLAN" ]; then
		not_ok "the script ended after $KTAP_DONE of $KTAP_PLAN results (status $status)"
	elif [ "$status" -ne 0 ]; then
		diag "the script ended with status $status"
		exit "$status"
	fi
	[ "$KTAP_BAD" -eq 0 ] || exit 1
	exit 0
}

# How many times as long as usual what is waited for may take. To wait too long costs nothing where all is well;
# to wait too short fails on a machine that has other work, too. The strict kernel's nodes have a figure of their own.
: "${SLOW:=5}"
# When to give up at the latest, in seconds since the boot.
: "${DEADLINE:=1000000000}"

# within SECONDS COMMAND...: repeat the command until it succeeds. For what happens soon, but not at once.
within() {
	_repeat 50000 "$@"
}

# calmly SECONDS COMMAND...: as within, for the end of what is measured: each look takes the processor for some
# milliseconds. It looks once a second.
calmly() {
	sleep 1
	_repeat 1000000 "$@"
}

# _repeat MICROSECONDS SECONDS COMMAND...: by the clock, as some looks take longer than the pauses between them.
_repeat() {
	local pause=$1 now end

	read -r now _ </proc/uptime
	end=$((${now%.*} + $2 * SLOW * 2))
	[ "$end" -le "$DEADLINE" ] || end=$DEADLINE
	shift 2
	while ! "$@"; do
		read -r now _ </proc/uptime
		if [ "${now%.*}" -ge "$end" ]; then
			echo "not within the time: $*"
			return 1
		fi
		usleep "$pause"
	done
}

# timeout SECONDS COMMAND...: as the program of this name, but with the same patience.
timeout() {
	local limit=$(($1 * SLOW))

	shift
	command timeout "$limit" "$@"
}
