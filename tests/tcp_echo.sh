# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a serves, node b asks.

# tries PORT BYTES: loads a client. A port that nobody serves is refused, and is no reason for the module not to load.
tries() {
	mark
	load tcp_echo port=0 "server=$(number4 a)" "server_port=$1" "bytes=$2"
}

plan "$([ "$NODE" = a ] && echo 11 || echo 13)"
check "krdma loads" load krdma
if [ "$NODE" = a ]; then
	mark
	check "it serves" load tcp_echo port=4700
	check "as the system sees" eval "grep -q ':125C .*:0000 0A' /proc/net/tcp6"
	check_not "a port is served once" load tcp_echo port=4700
	barrier serving
	barrier asked
	check_not "no connection has ended by an error" logged 'tcp_echo: a connection has ended'
	barrier streaming
	# One that is not there yet the next server would serve, without end.
	check "a stream is under way" within 60 eval "grep -q ':125C .* 01 ' /proc/net/tcp6"
	check "it unloads under a stream" unload tcp_echo
	barrier unloaded
	check "it serves again at once" load tcp_echo port=4700
	barrier again
	barrier over
	check "rmmod" unload tcp_echo
	check_eq "no socket listens" "$(grep -c ':125C .*:0000 0A' /proc/net/tcp6)" 0
else
	barrier serving
	check "a client loads" tries 4700 "$BYTES"
	check "all came back" within 60 logged "tcp_echo: $BYTES bytes came back as they were sent"
	check "rmmod" unload tcp_echo
	check "a stream of no byte ends" eval "tries 4700 0 && within 20 logged 'tcp_echo: 0 bytes came back'"
	unload tcp_echo
	check "a port that nobody serves refuses" \
		eval "tries 4701 10 && within 20 logged 'tcp_echo: the server was of no use: ECONNREFUSED'"
	unload tcp_echo
	head -c 300000 /dev/urandom >/tmp/sent
	check "a program's bytes come back" eval "nc -w 20 '$(addr4 a)' 4700 </tmp/sent >/tmp/back; cmp /tmp/sent /tmp/back"
	barrier asked

	check "a long stream begins" tries 4700 100000000000
	barrier streaming
	barrier unloaded
	check "its end is told" within 60 logged 'tcp_echo: the server was of no use: '
	check "rmmod of a client whose server has gone" unload tcp_echo
	barrier again
	check "the next one is served" eval "tries 4700 10 && within 20 logged 'tcp_echo: 10 bytes came back'"
	check "rmmod right after a connect" eval "unload tcp_echo && tries 4700 100000000000 && unload tcp_echo"
	barrier over
fi
check "krdma unloads" unload krdma
barrier end
