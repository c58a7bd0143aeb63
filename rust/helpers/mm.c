// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>
#include <linux/uio.h>

/* Whether memory is in the linear mapping, so that it can be mapped for DMA. */
__rust_helper bool rust_helper_krdma_is_linear(const void *addr, size_t len)
{
	return virt_addr_valid(addr) && virt_addr_valid(addr + len - 1) &&
	       !is_vmalloc_or_module_addr(addr);
}

/* Pairs with put_page(): what others have read of it is read. */
__rust_helper bool rust_helper_krdma_page_is_shared(const struct page *page)
{
	if (page_ref_count(page) != 1)
		return true;
	smp_acquire__after_ctrl_dep();
	return false;
}

__rust_helper void *rust_helper_krdma_page_address(const struct page *page)
{
	return page_address(page);
}

__rust_helper void rust_helper_krdma_put_page(struct page *page)
{
	put_page(page);
}

/*
 * Whether it gives memory that is mapped by a program, and a reference with each
 * page: others do not always.
 */
__rust_helper bool rust_helper_krdma_iter_is_user(const struct iov_iter *iter)
{
	return user_backed_iter(iter);
}
