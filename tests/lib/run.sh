# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
# Runs the test's script with the library loaded. A name misspelt in a script ends it, and that is reported.

set -u
. /lab/env
. /lab/lib/ktap.sh
. /lab/lib/sync.sh
. /lab/lib/module.sh
. /lab/lib/net.sh
. /lab/lib/rdma.sh
. /lab/lib/memory.sh
. /lab/lib/faults.sh

trap 'ktap_finish $?' EXIT
if [ "$BOOT" = 0 ]; then
	ktap_begin
else
	resumed
fi
net_up || die "the network did not come up"
. /lab/test.sh
