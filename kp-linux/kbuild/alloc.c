// SPDX-License-Identifier: MIT OR Apache-2.0
/* Memory for the Rust side: kvmalloc, charged to the caller's control group. */
#include <linux/llist.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "kp.h"

void *kp_c_alloc(size_t size, size_t align)
{
	void *memory;

	if (align > PAGE_SIZE || size > INT_MAX)
		return NULL;
	/* One that is freed at a level where that cannot be done is a link of a list until it is: late.c. */
	size = max(size, sizeof(struct llist_node));
	/* kmalloc gives powers of two their own alignment, and kvmalloc whole pages. */
	if (align > ARCH_KMALLOC_MINALIGN)
		size = roundup_pow_of_two(max(size, align));
	memory = kvmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (memory)
		atomic_inc(&kp_live.allocations);
	return memory;
}

void kp_c_free(void *memory)
{
	atomic_dec(&kp_live.allocations);
	kp_free_anywhere(memory);
}
