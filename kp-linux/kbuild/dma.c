// SPDX-License-Identifier: MIT OR Apache-2.0
/* A device's own transfers: memory that it shares with the processor, and pages that are mapped for it. */
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/llist.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include "kp.h"
#include "pages.h"

#ifdef KP_CALLS_kp_c_dma_open
int kp_c_dma_open(struct kp_device *device, u32 bits, u32 segment, u64 boundary)
{
	struct device *dev = &device->pci->dev;
	int ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits));

	if (ret)
		return ret;
	dma_set_max_seg_size(dev, segment);
	dma_set_seg_boundary(dev, boundary - 1);
	return 0;
}
#endif

#ifdef KP_CALLS_kp_c_dma_close
void kp_c_dma_close(struct kp_device *device)
{
	kp_flush_late();
}
#endif

#ifdef KP_CALLS_kp_c_dma_is_isolated
bool kp_c_dma_is_isolated(struct kp_device *device)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&device->pci->dev);

	return domain && (domain->type & __IOMMU_DOMAIN_DMA_API);
}
#endif

#ifdef KP_COHERENT

/* What is to be freed waits in a list, whose nodes are the freed memory itself. */
struct kp_late_coherent {
	struct llist_node late;
	struct device *dev;
	size_t len;
	dma_addr_t bus;
};

static LLIST_HEAD(late_coherent);

static void kp_coherent_free_now(struct device *dev, void *memory, size_t len, dma_addr_t bus)
{
	dma_free_coherent(dev, len, memory, bus);
	atomic_dec(&kp_live.dma);
}

void kp_coherent_late(void)
{
	struct kp_late_coherent *memory, *after;

	llist_for_each_entry_safe(memory, after, llist_del_all(&late_coherent), late)
		kp_coherent_free_now(memory->dev, memory, memory->len, memory->bus);
}
#endif

#ifdef KP_CALLS_kp_c_coherent_alloc
void *kp_c_coherent_alloc(struct kp_device *device, size_t len, u64 *bus)
{
	dma_addr_t at;
	void *memory = dma_alloc_attrs(&device->pci->dev, len, &at, GFP_KERNEL, DMA_ATTR_NO_WARN);

	if (!memory)
		return NULL;
	*bus = at;
	atomic_inc(&kp_live.dma);
	return memory;
}
#endif

#ifdef KP_CALLS_kp_c_coherent_free
void kp_c_coherent_free(struct kp_device *device, void *memory, size_t len, u64 bus)
{
	struct kp_late_coherent *late = memory;

	if (kp_may_free()) {
		kp_coherent_free_now(&device->pci->dev, memory, len, bus);
		return;
	}
	late->dev = &device->pci->dev;
	late->len = len;
	late->bus = bus;
	llist_add(&late->late, &late_coherent);
	kp_queue_late();
}
#endif

#ifdef KP_DMA_MAP

/* Pages that are mapped for a device. */
struct kp_dma_mapping {
	bool is_direct; /* first: the Rust side reads it */
	bool is_page;
	struct llist_node late;
	struct kp_device *device;
	struct device *dev;
	struct kp_pages *pages;
	/* Of several pages the table; of what is inside one page, which needs none, where the device has it, and how much that is. */
	struct sg_table table;
	dma_addr_t bus;
	size_t len;
	enum dma_data_direction direction;
};
static_assert(!offsetof(struct kp_dma_mapping, is_direct) && sizeof(bool) == 1);

static LLIST_HEAD(late_mappings);

/* A device has one mapping after the other: the memory of one is kept for the next, until the device's record goes. */
static __maybe_unused struct kp_dma_mapping *kp_dma_mapping_new(struct kp_device *device)
{
	struct kp_dma_mapping *mapping = xchg(&device->spare, NULL);

	if (!mapping)
		mapping = kmalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return NULL;
	mapping->device = device;
	mapping->dev = &device->pci->dev;
	return mapping;
}

static __always_inline void kp_dma_mapping_free(struct kp_dma_mapping *mapping)
{
	mapping = xchg(&mapping->device->spare, mapping);
	if (mapping)
		kfree(mapping);
}

/*
 * What the device wrote was copied when the plugin took the mapping back. One that it never took back has nothing for anybody, and its app may
 * have given up the memory: nothing is copied here.
 */
static __always_inline void kp_dma_unmap_now(struct kp_dma_mapping *mapping)
{
	const unsigned long attrs = DMA_ATTR_SKIP_CPU_SYNC;

	if (mapping->is_page) {
		dma_unmap_page_attrs(mapping->dev, mapping->bus, mapping->len, mapping->direction, attrs);
	} else {
		dma_unmap_sg_attrs(mapping->dev, mapping->table.sgl, mapping->table.orig_nents, mapping->direction, attrs);
		sg_free_table(&mapping->table);
	}
	kp_dma_mapping_free(mapping);
	atomic_dec(&kp_live.dma);
}

void kp_dma_unmap_late(void)
{
	struct kp_dma_mapping *mapping, *after;

	llist_for_each_entry_safe(mapping, after, llist_del_all(&late_mappings), late) {
		struct kp_pages *pages = mapping->pages;

		kp_dma_unmap_now(mapping);
		kp_pages_put(pages);
	}
}
#endif

#ifdef KP_CALLS_kp_c_dma_map
static const enum dma_data_direction kp_directions[] = {
	[KP_DMA_TO_DEVICE] = DMA_TO_DEVICE,
	[KP_DMA_FROM_DEVICE] = DMA_FROM_DEVICE,
	[KP_DMA_BOTH] = DMA_BIDIRECTIONAL,
};

/*
 * To `bus` where the device has the first byte, and then the beginning of each further 4096 bytes of the pages. The kernel merges pieces, and
 * breaks none.
 */
static void kp_dma_addresses(struct kp_dma_mapping *mapping, int count, size_t offset, u64 *bus)
{
	size_t part = KP_PAGE - offset % KP_PAGE; /* from here to the next place */
	bool is_begin = true;
	struct scatterlist *sg;
	int i;

	for_each_sg(mapping->table.sgl, sg, count, i) {
		dma_addr_t at = sg_dma_address(sg);
		size_t left = sg_dma_len(sg);

		if (dma_need_sync(mapping->dev, at))
			mapping->is_direct = false;
		while (left) {
			size_t piece = min(part, left);

			if (is_begin)
				*bus++ = at;
			at += piece;
			left -= piece;
			part -= piece;
			is_begin = !part;
			if (!part)
				part = KP_PAGE;
		}
	}
}

static bool kp_dma_map_page(struct kp_dma_mapping *mapping, struct page *page, size_t inside, u64 *bus)
{
	dma_addr_t at = dma_map_page_attrs(mapping->dev, page, inside, mapping->len, mapping->direction, DMA_ATTR_NO_WARN);

	if (dma_mapping_error(mapping->dev, at))
		return false;
	mapping->bus = at;
	mapping->is_direct = !dma_need_sync(mapping->dev, at);
	*bus = at;
	return true;
}

static noinline bool kp_dma_map_pages(struct kp_dma_mapping *mapping, struct page **page, size_t inside, u64 *bus)
{
	struct sg_table *table = &mapping->table;
	size_t offset = inside, left = mapping->len;
	struct scatterlist *sg;
	int i, count;

	if (sg_alloc_table(table, DIV_ROUND_UP(inside + left, PAGE_SIZE), GFP_KERNEL_ACCOUNT | __GFP_NOWARN))
		return false;
	for_each_sg(table->sgl, sg, table->orig_nents, i) {
		unsigned int piece = min_t(size_t, PAGE_SIZE - inside, left);

		sg_set_page(sg, page[i], piece, inside);
		left -= piece;
		inside = 0;
	}
	count = dma_map_sg_attrs(mapping->dev, table->sgl, table->orig_nents, mapping->direction, DMA_ATTR_NO_WARN);
	if (count <= 0) {
		sg_free_table(table);
		return false;
	}
	mapping->is_direct = true;
	kp_dma_addresses(mapping, count, offset, bus);
	return true;
}

void *kp_c_dma_map(struct kp_device *device, struct kp_pages *pages, size_t offset, size_t len, u32 direction, u64 *bus)
{
	struct page **first = pages->pages + (offset >> PAGE_SHIFT);
	struct kp_dma_mapping *mapping = kp_dma_mapping_new(device);
	size_t inside = offset & ~PAGE_MASK;
	bool is_mapped;

	if (!mapping)
		return NULL;
	mapping->pages = pages;
	mapping->direction = kp_directions[direction];
	mapping->len = len;
	mapping->is_page = inside + len <= KP_PAGE;
	is_mapped = mapping->is_page ? kp_dma_map_page(mapping, *first, inside, bus) : kp_dma_map_pages(mapping, first, inside, bus);
	if (!is_mapped) {
		kp_dma_mapping_free(mapping);
		return NULL;
	}
	atomic_inc(&kp_live.dma);
	return mapping;
}
#endif

#ifdef KP_CALLS_kp_c_dma_unmap
void kp_c_dma_unmap(struct kp_dma_mapping *mapping)
{
	if (kp_may_free()) {
		kp_dma_unmap_now(mapping);
	} else {
		/* The Rust side has them until this returns. */
		refcount_inc(&mapping->pages->users);
		llist_add(&mapping->late, &late_mappings);
		kp_queue_late();
	}
}
#endif

#ifdef KP_CALLS_kp_c_dma_sync
void kp_c_dma_sync(struct kp_dma_mapping *mapping, bool for_device)
{
	struct scatterlist *sgl = mapping->table.sgl;
	unsigned int count = mapping->table.orig_nents;

	if (mapping->is_page && for_device)
		dma_sync_single_for_device(mapping->dev, mapping->bus, mapping->len, mapping->direction);
	else if (mapping->is_page)
		dma_sync_single_for_cpu(mapping->dev, mapping->bus, mapping->len, mapping->direction);
	else if (for_device)
		dma_sync_sg_for_device(mapping->dev, sgl, count, mapping->direction);
	else
		dma_sync_sg_for_cpu(mapping->dev, sgl, count, mapping->direction);
}
#endif
