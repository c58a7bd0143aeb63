# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Node a runs rrds, node b the C implementation; the same module uses either.

if [ "$NODE" = a ]; then
	plan 11
else
	plan 2
fi
rxe_up || die "no rxe"
if [ "$NODE" = a ]; then
	load_all krdma rrds || die "the modules do not load"
else
	modprobe rds_rdma || die "no rds_rdma"
fi
barrier loaded

# exchange NAME SERVER ADDRESS FROM: SERVER answers at its ADDRESS, the other asks from FROM.
exchange() {
	if [ "$NODE" = "$2" ]; then
		load rds_sock local="$3" || die "rds_sock does not load"
		barrier "$1"
		[ "$NODE" = b ] || check "rrds does not go while a module has a socket" [ "$(refcount rrds)" -ge 1 ]
		barrier "$1 end"
		unload rds_sock || die "rds_sock does not unload"
	else
		barrier "$1"
		check "$1" load rds_sock local="$4" peer="$3" count="$MESSAGES"
		unload rds_sock || die "rds_sock does not unload"
		barrier "$1 end"
	fi
}

exchange "C asks rrds" a "$(addr4 a)" "$(addr4 b)"
exchange "rrds asks C" b "$(addr4 b)" "$(addr4 a)"
exchange "C asks rrds by IPv6" a "$(addr6 a)" "$(addr6 b)"
exchange "rrds asks C by IPv6" b "$(addr6 b)" "$(addr6 a)"

if [ "$NODE" = a ]; then
	mark
	check_not "nobody answers where no module is" load rds_sock local=10.9.9.9
	check "it says why" logged "rds_sock: can't bind to 10.9.9.9: -99"
	check_not "an address that is none" load rds_sock local=nowhere
	check_not "a family that nobody has" load rds_sock family=12
	check "it says so" logged "rds_sock: no socket of family 12: -97"
	check_eq "nobody uses rrds any more" "$(refcount rrds)" 0
	check "rrds unloads" unload rrds
fi
barrier end
