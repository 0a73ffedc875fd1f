// SPDX-License-Identifier: MIT OR Apache-2.0
/* Whole pages: an app's, which are pinned, or the kernel's own; and who is charged for them. */
#include <linux/capability.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "kp.h"
#include "pages.h"

struct mm_struct *kp_charge(size_t pages)
{
	u64 limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct mm_struct *mm = current->mm;

	if (!mm)
		return NULL;
	if (atomic64_add_return(pages, &mm->pinned_vm) > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(pages, &mm->pinned_vm);
		return NULL;
	}
	mmgrab(mm);
	return mm;
}

void kp_uncharge(struct mm_struct *mm, size_t pages)
{
	atomic64_sub(pages, &mm->pinned_vm);
	mmdrop(mm);
}

void kp_free_pages(struct page **pages, size_t count)
{
	while (count--)
		__free_page(pages[count]);
	kvfree(pages);
}

struct page **kp_new_pages(size_t count)
{
	struct page **pages = kvcalloc(count, sizeof(*pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	size_t i;

	if (!pages)
		return NULL;
	for (i = 0; i < count; i++) {
		pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
		if (!pages[i]) {
			kp_free_pages(pages, i);
			return NULL;
		}
	}
	return pages;
}

#ifdef KP_PAGES

static LLIST_HEAD(late_pages);

static void kp_pages_release(struct kp_pages *pages)
{
	if (pages->mapped)
		vunmap(pages->mapped);
	if (pages->mm) {
		unpin_user_pages_dirty_lock(pages->pages, pages->count, pages->is_written);
		kvfree(pages->pages);
		kp_uncharge(pages->mm, pages->count);
		atomic_dec(&kp_live.pinned);
	} else {
		kp_free_pages(pages->pages, pages->count);
		atomic_dec(&kp_live.dma);
	}
	kfree(pages);
}

void kp_pages_put(struct kp_pages *pages)
{
	if (!refcount_dec_and_test(&pages->users))
		return;
	if (kp_may_free()) {
		kp_pages_release(pages);
	} else {
		llist_add(&pages->late, &late_pages);
		kp_queue_late();
	}
}

void kp_pages_late(void)
{
	struct kp_pages *pages, *after;

	llist_for_each_entry_safe(pages, after, llist_del_all(&late_pages), late)
		kp_pages_release(pages);
}

static __maybe_unused struct kp_pages *kp_pages_new(size_t count)
{
	struct kp_pages *pages = kzalloc(sizeof(*pages), GFP_KERNEL_ACCOUNT);

	if (!pages)
		return NULL;
	pages->count = count;
	refcount_set(&pages->users, 1);
	return pages;
}
#endif

#ifdef KP_CALLS_kp_c_pages_alloc
void *kp_c_pages_alloc(size_t len)
{
	struct kp_pages *pages = kp_pages_new(DIV_ROUND_UP(len, PAGE_SIZE));

	if (!pages)
		return NULL;
	pages->pages = kp_new_pages(pages->count);
	if (!pages->pages) {
		kfree(pages);
		return NULL;
	}
	atomic_inc(&kp_live.dma);
	return pages;
}
#endif

#ifdef KP_CALLS_kp_c_pages_pin
static bool kp_is_swap_backed(struct page *page)
{
#ifdef KP_HAS_PAGE_SWAP_BACKED
	return PageSwapBacked(page);
#else
	return folio_test_swapbacked(page_folio(page));
#endif
}

/*
 * May a device be let into it? Into anonymous and shared memory and huge pages: what it writes to a file's page the file system does not see, and a
 * page of another device is that device's. The page of zeros is read only.
 */
static bool kp_is_pinnable(struct page *page)
{
	return PageAnon(page) || kp_is_swap_backed(page) || PageHuge(page) || is_zero_pfn(page_to_pfn(page));
}

/*
 * Where the app may write, pages are pinned for writing also if the device only reads: a page that was never written would be the page of zeros, and
 * one that is shared with a child would be copied for the app, and not be the device's any more.
 * Of a file's pages newer kernels say no more than that they cannot be written: so these are looked at as well.
 */
int kp_c_pages_pin(unsigned long address, size_t len, bool write, void **pinned)
{
	size_t count = len >> PAGE_SHIFT, i;
	struct kp_pages *pages;
	bool may_write = true;
	long got;
	int ret = -ENOMEM;

	if (count > INT_MAX)
		return -ENOMEM;
	pages = kp_pages_new(count);
	if (!pages)
		return -ENOMEM;
	pages->is_written = write;
	pages->pages = kvcalloc(count, sizeof(*pages->pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!pages->pages)
		goto free;
	pages->mm = kp_charge(count);
	if (!pages->mm) {
		ret = -EDQUOT;
		goto array;
	}
	got = pin_user_pages_fast(address, count, FOLL_LONGTERM | FOLL_WRITE, pages->pages);
	if (got == -EFAULT || (got >= 0 && got != count)) {
		if (got > 0)
			unpin_user_pages(pages->pages, got); /* only a part can be written */
		may_write = false;
		got = pin_user_pages_fast(address, count, FOLL_LONGTERM, pages->pages);
	}
	if (got != count) {
		ret = got < 0 ? got : -EFAULT;
		if (got > 0)
			unpin_user_pages(pages->pages, got);
		goto uncharge;
	}
	for (i = 0; i < count; i++) {
		if (!kp_is_pinnable(pages->pages[i])) {
			ret = -EOPNOTSUPP;
			goto unpin;
		}
	}
	if (write && !may_write) {
		ret = -EFAULT;
		goto unpin;
	}
	atomic_inc(&kp_live.pinned);
	*pinned = pages;
	return 0;

unpin:
	unpin_user_pages(pages->pages, count);
uncharge:
	kp_uncharge(pages->mm, count);
array:
	kvfree(pages->pages);
free:
	kfree(pages);
	return ret;
}
#endif

#ifdef KP_CALLS_kp_c_pages_free
void kp_c_pages_free(struct kp_pages *pages)
{
	kp_pages_put(pages);
}
#endif

#ifdef KP_CALLS_kp_c_pages_map
/* Two callers may map at once: the second one takes the first one's. */
void *kp_c_pages_map(struct kp_pages *pages)
{
	void *mapped = READ_ONCE(pages->mapped), *first;

	if (mapped)
		return mapped;
	mapped = vmap(pages->pages, pages->count, VM_MAP, PAGE_KERNEL);
	if (!mapped)
		return NULL;
	first = cmpxchg(&pages->mapped, NULL, mapped);
	if (!first)
		return mapped;
	vunmap(mapped);
	return first;
}
#endif
