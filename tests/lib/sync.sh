# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Between the nodes of a test, through the runner. Only the script itself may use these, not a background job:
# requests and answers of two shells would mix.

_request() {
	local answer

	echo "$*" >&3 || die "the runner does not listen: $*"
	read -r answer <&3 || die "the runner does not answer: $*"
	case $answer in
	ok) REPLY= ;;
	"ok "*) REPLY=${answer#ok } ;;
	*) die "${answer#no }" ;;
	esac
}

# barrier NAME: wait until all nodes have come here. The script ends if one cannot come any more.
barrier() {
	_request barrier "$1"
}

# publish KEY VALUE...: tell all nodes; each key once.
publish() {
	_request publish "$@"
}

# reset_node WORD...: as if the power had failed: at once, nothing is written or said any more. The node
# boots again and runs its script from the start, with the number of such boots in $BOOT and the words in
# $WORDS. Results count on, after the plan that was made. The test's file says `resets = true`.
reset_node() {
	_request reset "$KTAP_PLAN" "$KTAP_DONE" "$KTAP_BAD" "$@"
	echo b >/proc/sysrq-trigger
	sleep 60
	die "the node does not go through a reset"
}

# resumed: the counts of the results from before.
resumed() {
	# shellcheck disable=SC2086 # words on purpose
	set -- $WORDS
	KTAP_PLAN=$1 KTAP_DONE=$2 KTAP_BAD=$3
	shift 3
	WORDS=$*
}

# lookup KEY: wait for the value that some node publishes, and leave it in $REPLY.
lookup() {
	_request lookup "$1"
}
