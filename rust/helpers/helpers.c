// SPDX-License-Identifier: GPL-2.0
/*
 * C static inlines and macros that krdma needs, as functions that Rust can
 * call. One file for each C header, in alphabetical order. A name must not be
 * one of the kernel's own helpers (rust/helpers/ in the kernel tree).
 */

#include <linux/compiler_types.h>

/*
 * The kernel inlines its helpers into Rust where the toolchains allow it. Ours
 * stay functions in krdma.ko.
 */
#define __rust_helper

#include "bottom_half.c"
#include "ib_verbs.c"
#include "mm.c"
#include "net_namespace.c"
#include "netdevice.c"
#include "netns_generic.c"
#include "scatterlist.c"
#include "sock.c"
#include "sockptr.c"
#include "tcp.c"
#include "workqueue.c"
