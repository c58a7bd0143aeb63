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

# lookup KEY: wait for the value that some node publishes, and leave it in $REPLY.
lookup() {
	_request lookup "$1"
}
