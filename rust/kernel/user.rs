// SPDX-License-Identifier: GPL-2.0

//! Users.
//!
//! C header: [`include/linux/user_namespace.h`](srctree/include/linux/user_namespace.h)

use crate::bindings;

/// Returns the number of the user who owns the user namespace of the current task, as the initial one
/// has it; nothing if the task is in the initial one.
///
/// Where namespaces are in one another it is the owner of the outermost. Who may make a user namespace
/// can have many users there, all those of `/etc/subuid`; this is the one who answers for them.
pub fn namespace_owner() -> Option<u32> {
    // SAFETY: A task always has credentials.
    let mut ns = unsafe { bindings::current_user_ns() };
    let mut owner = None;

    loop {
        // SAFETY: The credentials of the current task, which nobody else changes, keep their namespace,
        // and each namespace its parent. Neither field changes.
        let (parent, uid) = unsafe { ((*ns).parent, (*ns).owner.val) };

        // Only the initial one has no parent.
        if parent.is_null() {
            return owner;
        }
        owner = Some(uid);
        ns = parent;
    }
}
