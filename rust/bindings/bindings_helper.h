/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for the krdma_bindings crate. Only what the headers listed
 * in bindgen_parameters declare becomes a binding; every other type is taken
 * from the kernel's own bindings.
 *
 * Sorted alphabetically.
 */

#include <linux/mm.h>
#include <linux/netdevice.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <rdma/ib_cache.h>
#include <rdma/ib_cm.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include <uapi/linux/tcp.h>
