// SPDX-License-Identifier: MIT OR Apache-2.0
/* Memory that apps map, as a session's ring and its page of counters: its pages, and mmap. */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/personality.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "kp.h"
#include "pages.h"

/*
 * Memory that an app may map. It is there, and pinned by the process that asked for it, until the kernel's side has given it up and no
 * mapping is left.
 */
struct kp_shared {
	struct page **pages;
	size_t count;
	struct mm_struct *mm; /* is charged for the pages */
	refcount_t users;     /* the kernel's side, and every mapping */
};

static void kp_shared_put(struct kp_shared *shared)
{
	if (!refcount_dec_and_test(&shared->users))
		return;
	kp_uncharge(shared->mm, shared->count);
	kp_free_pages(shared->pages, shared->count);
	kfree(shared);
	atomic_dec(&kp_live.allocations);
}

/* The record of memory that kp_c_alloc_mmap_pages gave: its first page has it. */
static struct kp_shared *kp_shared_of(void *memory)
{
	return (struct kp_shared *)page_private(vmalloc_to_page(memory));
}

void *kp_c_alloc_mmap_pages(size_t len)
{
	struct kp_shared *shared = kmalloc(sizeof(*shared), GFP_KERNEL_ACCOUNT);
	void *memory;

	if (!shared)
		return NULL;
	shared->count = DIV_ROUND_UP(len, PAGE_SIZE);
	shared->mm = kp_charge(shared->count);
	if (!shared->mm)
		goto free;
	shared->pages = kp_new_pages(shared->count);
	if (!shared->pages)
		goto uncharge;
	memory = vmap(shared->pages, shared->count, VM_MAP, PAGE_KERNEL);
	if (!memory)
		goto pages;
	refcount_set(&shared->users, 1);
	set_page_private(shared->pages[0], (unsigned long)shared);
	atomic_inc(&kp_live.allocations);
	return memory;

pages:
	kp_free_pages(shared->pages, shared->count);
uncharge:
	kp_uncharge(shared->mm, shared->count);
free:
	kfree(shared);
	return NULL;
}

void kp_c_free_mmap_pages(void *memory)
{
	struct kp_shared *shared = kp_shared_of(memory);

	vunmap(memory);
	kp_shared_put(shared);
}

/* A mapping has another: it was split, or moved. */
static void kp_vma_open(struct vm_area_struct *vma)
{
	refcount_inc(&((struct kp_shared *)vma->vm_private_data)->users);
}

static void kp_vma_close(struct vm_area_struct *vma)
{
	kp_shared_put(vma->vm_private_data);
}

/* A mapping has its file open, so the module stays as long as it. */
static const struct vm_operations_struct kp_vma_ops = {
	.open = kp_vma_open,
	.close = kp_vma_close,
};

static void kp_vma_flags(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#ifdef KP_HAS_VM_FLAGS_SET
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * A child does not inherit the mapping, and what can only be read stays so. VM_IO keeps madvise(MADV_DOFORK) from undoing the first.
 * Nothing in there is code: a process whose reads imply executing (READ_IMPLIES_EXEC) gets the mapping without, one that asks for it is
 * refused.
 */
int kp_c_shared_map(struct vm_area_struct *vma, void *memory, bool writable)
{
	struct kp_shared *shared = kp_shared_of(memory);
	int ret;

	kp_vma_flags(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP | VM_IO, VM_EXEC | VM_MAYEXEC | (writable ? 0 : VM_MAYWRITE));
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags); /* it was made before the flags were cleared */
	ret = vm_map_pages_zero(vma, shared->pages, shared->count);
	if (ret)
		return ret; /* the caller unmaps what was mapped */
	vma->vm_private_data = shared;
	vma->vm_ops = &kp_vma_ops;
	kp_vma_open(vma);
	return 0;
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
