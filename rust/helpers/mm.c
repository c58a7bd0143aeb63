// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>

/* Whether memory is in the linear mapping, so that it can be mapped for DMA. */
__rust_helper bool rust_helper_krdma_is_linear(const void *addr, size_t len)
{
	return virt_addr_valid(addr) && virt_addr_valid(addr + len - 1) &&
	       !is_vmalloc_or_module_addr(addr);
}

__rust_helper void *rust_helper_krdma_page_address(const struct page *page)
{
	return page_address(page);
}
