// SPDX-License-Identifier: GPL-2.0
/*
 * Exports the Rust symbols of krdma.ko, as the kernel does for its own: the v0
 * mangling makes names that C can say. All are GPL-only.
 */

#include <linux/export.h>

#include "exports_generated.h"
