// SPDX-License-Identifier: GPL-2.0
/*
 * Exports what other modules use of rrds: its Rust symbols, see rust/exports.c.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "rrds_exports_generated.h"
