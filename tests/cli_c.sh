# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Both nodes run the C implementation: what is tried out here is the tool, and its crate below.

. /lab/lib/rds.sh

plan 22

US=$(addr4 "$NODE") PEER=$(addr4 "$(peers)")
US6=$(addr6 "$NODE") PEER6=$(addr6 "$(peers)")

# Before there is anything, it says what is missing.
mark
check_status 3 "without a module no command works" rds ping "$PEER"
check "it says what to do about it" said 'modprobe rds_rdma'
check_status 1 "doctor finds fault" rds doctor
check "it names the commands that help" said 'rdma link add rxe0'
modprobe rds || die "no rds"
check_status 1 "doctor finds that no transport is loaded" rds doctor
check "and loads none" [ ! -e /sys/module/rds_rdma ]

rxe_up || die "no rxe"
modprobe rds_rdma || die "no rds_rdma"
barrier loaded
check "doctor is content" rds doctor
barrier examined

check "ping" rds ping -c 4 -i 0 -W 60s "$PEER"
check "ping with data and a type of service" rds ping -c 4 -i 0 -s 5000 -Q 3 -W 60s "$PEER"
check "ping over IPv6" rds ping -c 2 -i 0 -W 60s "$PEER6"
check_status 1 "ping of a port where no server is" rds ping -c 1 -i 0 -W 2s "$PEER:4000"
check_status 3 "bind refuses what is not ours" rds ping -I "$PEER" "$PEER"
barrier pinged

# A file, then a pattern that is verified.
dd if=/dev/urandom of=/tmp/file bs=1000 count=300 2>/dev/null
if [ "$NODE" = a ]; then
	command rds recv --end -W 100s -o /tmp/came "$US:5000" &
	within 20 bound 5000 || die "rds recv does not bind"
	barrier file
	wait $!
	publish sum "$(md5sum </tmp/came | cut -d ' ' -f 1)"
	command rds recv --pattern -c "$MESSAGES" -W 100s "[$US6]:5001" &
	within 20 bound 5001 || die "rds recv does not bind"
	barrier pattern
	check "the pattern arrives whole and in order" wait $!
else
	barrier file
	rds send --end -W 100s -f /tmp/file "$PEER:5000"
	lookup sum
	check_eq "the file arrives as it is" "$REPLY" "$(md5sum </tmp/file | cut -d ' ' -f 1)"
	barrier pattern
	rds send --pattern "$MESSAGES" -s 0,1,4095-4097,64K -W 100s "[$PEER6]:5001"
fi
barrier sent

# Each is the other's server, at the same time.
command rds stress --listen "$US" --once >/tmp/server 2>&1 &
server=$!
within 10 grep -q serving /tmp/server || die "no server: $(cat /tmp/server)"
barrier serving
check "stress with verification" rds stress -n 2 -d 8 -s 0,1,15-17,4095-4097,64K -i 0 \
	-c "$((MESSAGES / 2))" "$PEER"
check "the server has no complaint" wait "$server"
barrier stressed

command rds stress --listen "$US" --once >/tmp/server 2>&1 &
server=$!
within 10 grep -q serving /tmp/server || die "no server: $(cat /tmp/server)"
barrier serving_again
check "stress of small messages, timed, as JSON" rds stress --json -d 16 -s 64 -Q 5 --warmup 500ms \
	-t "$SPAN" -i 1s "$PEER"
check "its result is good" said '"good": true'
wait "$server"

check "every kind of records can be read" rds info --counters --sockets --connections --receive \
	--send --retransmit --rdma
check "the connections are up" within 20 connections_up 4
check "both forms of records" eval "rds info -4 --json && rds info -6 --json"
check_status 1 "what the kernel does not have is an error" rds info --tcp
check "help, completions and manual pages" eval \
	"rds stress --help && rds completions bash && rds man --folder /tmp/man && [ -s /tmp/man/rds-ping.1 ]"
barrier over
