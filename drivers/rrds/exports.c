// SPDX-License-Identifier: GPL-2.0
/*
 * Exports what other modules use of rrds: the functions for C, and the Rust
 * symbols, see rust/exports.c.
 */

#include <linux/export.h>
#include <rrds.h>

EXPORT_SYMBOL_GPL(rrds_open);
EXPORT_SYMBOL_GPL(rrds_close);
EXPORT_SYMBOL_GPL(rrds_choose_transport);
EXPORT_SYMBOL_GPL(rrds_bind);
EXPORT_SYMBOL_GPL(rrds_local);
EXPORT_SYMBOL_GPL(rrds_connect);
EXPORT_SYMBOL_GPL(rrds_set_tos);
EXPORT_SYMBOL_GPL(rrds_set_limits);
EXPORT_SYMBOL_GPL(rrds_prepare);
EXPORT_SYMBOL_GPL(rrds_send);
EXPORT_SYMBOL_GPL(rrds_send_atomic);
EXPORT_SYMBOL_GPL(rrds_send_buffers);
EXPORT_SYMBOL_GPL(rrds_send_message);
EXPORT_SYMBOL_GPL(rrds_cancel);
EXPORT_SYMBOL_GPL(rrds_receive);
EXPORT_SYMBOL_GPL(rrds_message_source);
EXPORT_SYMBOL_GPL(rrds_message_tos);
EXPORT_SYMBOL_GPL(rrds_message_len);
EXPORT_SYMBOL_GPL(rrds_message_at);
EXPORT_SYMBOL_GPL(rrds_message_free);

#include "rrds_exports_generated.h"
