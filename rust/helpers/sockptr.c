// SPDX-License-Identifier: GPL-2.0

#include <linux/sockptr.h>

__rust_helper int rust_helper_copy_from_sockptr_offset(void *dst, sockptr_t src,
						       size_t offset, size_t size)
{
	return copy_from_sockptr_offset(dst, src, offset, size);
}
