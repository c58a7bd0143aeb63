#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Shows that the protocol engine cannot panic: compiles it, and its generic code with concrete types,
# with the kernel's own flags, overflow checks included, and looks for references to core::panicking
# in the objects. There must be none, of any kind.
#
# usage: check.sh KERNEL_BUILD_DIR (or $KRDMA_KDIR)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
kdir=${1:-${KRDMA_KDIR:?usage: check.sh KERNEL_BUILD_DIR}}
out=$here/../../build/panics
proto=$(cd "$here/../../drivers/rrds/proto" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)

# The flags are those that kbuild used for another pure crate of the kernel.
flags=$(sed -n '1s/.* --edition/--edition/p' "$kdir/rust/.zerocopy.o.cmd" |
    sed -e 's/--cap-lints=allow.*//')
compile() {
    # shellcheck disable=SC2086 # the flags are many words
    (cd "$kdir" && RUSTC_BOOTSTRAP=1 OBJTREE="$kdir" RUST_MODFILE=rrds \
        rustc $flags --cfg MODULE -Zcrate-attr=no_std -Zunstable-options --sysroot=/dev/null \
        -L ./rust/ -L "$out" --extern zerocopy --extern zerocopy_derive --crate-type rlib \
        --out-dir "$out" "$@")
}
compile --emit=obj="$out/rds_proto.o" --emit=metadata="$out/librds_proto.rmeta" \
    "$proto/rds_proto.rs"
compile --emit=obj="$out/instantiate.o" --extern rds_proto="$out/librds_proto.rmeta" \
    "$here/instantiate.rs"

status=0
for object in "$out/rds_proto.o" "$out/instantiate.o"; do
    if found=$(nm "$object" | grep -E ' U .*(panicking|slice_.*fail|unwrap_failed|expect_failed)'); then
        echo "panics: $(basename "$object") can panic:" >&2
        echo "$found" >&2
        status=1
    fi
    functions=$(nm "$object" | grep -c ' [tT] ' || true)
    echo "panics: $(basename "$object"): $functions functions looked at"
done
exit $status
