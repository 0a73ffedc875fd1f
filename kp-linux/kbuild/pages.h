/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* pages.c: whole pages. */
#ifndef KP_PAGES_H
#define KP_PAGES_H

#include <linux/llist.h>
#include <linux/refcount.h>
#include <linux/types.h>

struct mm_struct;
struct page;

/*
 * Pinned pages count against RLIMIT_MEMLOCK, as for the kernel's other interfaces that pin an app's memory. NULL: they are too many, or the caller
 * has no memory of its own.
 */
struct mm_struct *kp_charge(size_t pages);
void kp_uncharge(struct mm_struct *mm, size_t pages);

/* Pages one by one, so that they are charged to the app's control group, which vmalloc_user does not do. */
struct page **kp_new_pages(size_t count);
void kp_free_pages(struct page **pages, size_t count);

/* Pages that can be shown to a device. */
struct kp_pages {
	struct llist_node late;
	refcount_t users; /* the Rust side, as long as it has a mapping of them; and every mapping that is still to be undone */
	struct page **pages;
	size_t count;
	void *mapped;         /* where the kernel has them side by side; NULL: nowhere */
	struct mm_struct *mm; /* whose they are, and who is charged; NULL: the kernel's own */
	bool is_written;      /* by the device, or by the plugin */
};

/* At any level. */
void kp_pages_put(struct kp_pages *pages);

#endif
