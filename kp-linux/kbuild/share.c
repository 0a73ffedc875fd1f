// SPDX-License-Identifier: MIT OR Apache-2.0
/* Memory that an app maps: pages of a session's ring, and mmap. */
#include <linux/freezer.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/personality.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "kp.h"
#include "kp_probes.h"

void *kp_c_shared_new(size_t len);
void kp_c_shared_free(void *memory);
const unsigned long *kp_c_attention(unsigned long *mask);
bool kp_c_breathe(void);
int kp_c_shared_map(struct vm_area_struct *vma, void *memory, bool writable);

/*
 * Pages one by one, so that they are charged to the app's control group, which vmalloc_user does not do. An app's mapping has a
 * reference to each, so they outlive the free if they are mapped then.
 */
void *kp_c_shared_new(size_t len)
{
	size_t count = DIV_ROUND_UP(len, PAGE_SIZE), i;
	struct page **pages = kvcalloc(count, sizeof(*pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	void *memory;

	if (!pages)
		return NULL;
	for (i = 0; i < count; i++) {
		pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
		if (!pages[i])
			goto free;
	}
	/* From here on vfree frees the pages and their array. */
	memory = vmap(pages, count, VM_MAP | VM_USERMAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (memory) {
		kp_count_allocation(1);
		return memory;
	}
free:
	while (i--)
		__free_page(pages[i]);
	kvfree(pages);
	return NULL;
}

void kp_c_shared_free(void *memory)
{
	kp_count_allocation(-1);
	vfree(memory);
}

/* Reading one word between messages is less than a call; kp_c_breathe then looks properly. */
const unsigned long *kp_c_attention(unsigned long *mask)
{
	*mask = _TIF_NEED_RESCHED | _TIF_SIGPENDING;
#ifdef _TIF_NEED_RESCHED_LAZY
	*mask |= _TIF_NEED_RESCHED_LAZY;
#endif
	return &current_thread_info()->flags;
}

bool kp_c_breathe(void)
{
	if (unlikely(need_resched()))
		cond_resched();
	try_to_freeze(); /* a batch may last longer than the freezer waits */
	return fatal_signal_pending(current);
}

static void kp_vma_flags(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#ifdef KP_HAS_VM_FLAGS_SET
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * A child has no part in it, and what can only be read stays so. VM_IO keeps madvise(MADV_DOFORK) from undoing the first. Nothing in
 * there is code: whoever reads implies executing (READ_IMPLIES_EXEC) gets it without, whoever asks for it is refused.
 */
int kp_c_shared_map(struct vm_area_struct *vma, void *memory, bool writable)
{
	kp_vma_flags(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP | VM_IO, VM_EXEC | VM_MAYEXEC | (writable ? 0 : VM_MAYWRITE));
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags); /* it was made before the flags were cleared */
	return remap_vmalloc_range(vma, memory, 0);
}

int kp_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if ((vma->vm_flags & VM_EXEC) && !(current->personality & READ_IMPLIES_EXEC))
		return -EACCES;
	return kp_rs_map(file->private_data, vma, (u64)vma->vm_pgoff << PAGE_SHIFT, vma->vm_end - vma->vm_start,
			 vma->vm_flags & VM_WRITE);
}
