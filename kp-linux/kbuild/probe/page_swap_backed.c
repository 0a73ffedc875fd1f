// SPDX-License-Identifier: MIT OR Apache-2.0
/* Before 6.12: PageSwapBacked, of a page rather than of a folio. */
#include <linux/page-flags.h>

bool probe(struct page *page)
{
	return PageSwapBacked(page);
}
