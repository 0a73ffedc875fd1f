// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The yardstick of the calls that wait in a driver of QEMU's edu: for an interrupt, and for the end of a transfer by edu's engine. The
 * handler acknowledges the device, and a tasklet wakes the call that waits.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include "plain.h"

#define EDU_INTERRUPT_STATUS 0x24
#define EDU_INTERRUPT_ACKNOWLEDGE 0x64
#define EDU_SOURCE 0x80
#define EDU_TARGET 0x88
#define EDU_COUNT 0x90
#define EDU_COMMAND 0x98
#define EDU_RUN BIT(0)
#define EDU_TO_MEMORY BIT(1)
#define EDU_INTERRUPT_WHEN_DONE BIT(2)
/* Where the card has its own memory, and how much one transfer moves at most: QEMU up to 8 ends at a transfer to the last byte. */
#define EDU_INSIDE 0x40000
#define EDU_PIECE 2048

/* How long a transfer may take; it takes 100 ms. */
#define PATIENCE (5 * HZ)

static unsigned int defer = 1;
module_param(defer, uint, 0444);
MODULE_PARM_DESC(defer, "0: wake in the handler");

struct plain_edu {
	struct miscdevice misc;
	struct pci_dev *pci;
	void __iomem *bar;
	struct tasklet_struct tasklet;
	wait_queue_head_t waiting;
	atomic_t woken;	     /* how often */
	u64 woken_ns;	     /* when the last time was */
	struct mutex engine; /* held while the engine is somebody's */
	bool is_stopped;     /* a transfer did not end */
};

/* An app's buffer. */
struct plain_buffer {
	size_t count, len;
	struct page *pages[];
};

/* What a file has. */
struct plain_file {
	struct plain_edu *plain;
	struct mutex lock;
	struct plain_buffer *buffer;
};

static void plain_wake(struct plain_edu *plain)
{
	WRITE_ONCE(plain->woken_ns, ktime_get_ns());
	atomic_inc_return_release(&plain->woken);
	wake_up(&plain->waiting);
}

static irqreturn_t plain_isr(int irq, void *data)
{
	struct plain_edu *plain = data;
	u32 bits = ioread32(plain->bar + EDU_INTERRUPT_STATUS);

	if (!bits)
		return IRQ_NONE;
	iowrite32(bits, plain->bar + EDU_INTERRUPT_ACKNOWLEDGE);
	if (defer)
		tasklet_schedule(&plain->tasklet);
	else
		plain_wake(plain);
	return IRQ_HANDLED;
}

static void plain_tasklet(struct tasklet_struct *tasklet)
{
	plain_wake(container_of(tasklet, struct plain_edu, tasklet));
}

/* Waits for the next interrupt, and answers how long ago it has woken this call, in ns. */
static long plain_next(struct plain_edu *plain, u64 __user *user)
{
	int before = atomic_read_acquire(&plain->woken);
	int ret = wait_event_killable(plain->waiting, atomic_read_acquire(&plain->woken) != before);

	if (ret)
		return ret;
	return put_user(ktime_get_ns() - READ_ONCE(plain->woken_ns), user);
}

static void plain_unpin(struct plain_buffer *buffer)
{
	unpin_user_pages_dirty_lock(buffer->pages, buffer->count, true);
	kfree(buffer);
}

static struct plain_buffer *plain_pin(u64 address, u64 len)
{
	struct plain_buffer *buffer;
	int got;

	if (!len || len > PLAIN_MAX || offset_in_page(address) || offset_in_page(len))
		return ERR_PTR(-EINVAL);
	buffer = kmalloc(struct_size(buffer, pages, len >> PAGE_SHIFT), GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	buffer->count = len >> PAGE_SHIFT;
	buffer->len = len;
	got = pin_user_pages_fast(address, buffer->count, FOLL_LONGTERM | FOLL_WRITE, buffer->pages);
	if (got == buffer->count)
		return buffer;
	if (got > 0)
		unpin_user_pages(buffer->pages, got);
	kfree(buffer);
	return ERR_PTR(got < 0 ? got : -EFAULT);
}

static bool plain_is_idle(struct plain_edu *plain)
{
	return !(readq(plain->bar + EDU_COMMAND) & EDU_RUN);
}

/* One transfer, with the engine's lock held. */
static long plain_run(struct plain_edu *plain, dma_addr_t memory, u32 len, bool to_memory)
{
	long left;

	writeq(to_memory ? EDU_INSIDE : memory, plain->bar + EDU_SOURCE);
	writeq(to_memory ? memory : EDU_INSIDE, plain->bar + EDU_TARGET);
	writeq(len, plain->bar + EDU_COUNT);
	writeq(EDU_RUN | EDU_INTERRUPT_WHEN_DONE | (to_memory ? EDU_TO_MEMORY : 0), plain->bar + EDU_COMMAND);
	left = wait_event_killable_timeout(plain->waiting, plain_is_idle(plain), PATIENCE);
	if (left > 0)
		return 0;
	/* The engine may go on: it reaches no memory any more, and the interrupt is lost with it. */
	plain->is_stopped = true;
	pci_clear_master(plain->pci);
	return left ? left : -ETIMEDOUT;
}

/* A part of a buffer, piece by piece, each in one page. */
static long plain_pieces(struct plain_edu *plain, struct plain_buffer *buffer, u64 at, u64 len, bool to_memory)
{
	enum dma_data_direction direction = to_memory ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	struct device *dev = &plain->pci->dev;
	u64 end;
	long ret;

	if (!len || check_add_overflow(at, len, &end) || end > buffer->len)
		return -EINVAL;
	ret = mutex_lock_killable(&plain->engine);
	if (ret)
		return ret;
	for (; at < end && !ret; ) {
		u32 piece = min3(end - at, (u64)(PAGE_SIZE - offset_in_page(at)), (u64)EDU_PIECE);
		dma_addr_t memory;

		if (plain->is_stopped) {
			ret = -EIO;
			break;
		}
		memory = dma_map_page(dev, buffer->pages[at >> PAGE_SHIFT], offset_in_page(at), piece, direction);
		if (dma_mapping_error(dev, memory)) {
			ret = -ENOMEM;
			break;
		}
		ret = plain_run(plain, memory, piece, to_memory);
		dma_unmap_page(dev, memory, piece, direction);
		at += piece;
	}
	mutex_unlock(&plain->engine);
	return ret ? ret : len;
}

static long plain_register(struct plain_file *file, struct plain_transfer *to)
{
	struct plain_buffer *buffer = plain_pin(to->at, to->len);
	long ret = -EBUSY;

	if (IS_ERR(buffer))
		return PTR_ERR(buffer);
	mutex_lock(&file->lock);
	if (!file->buffer) {
		/* It stays until the file is closed, so transfers need no lock for it. */
		smp_store_release(&file->buffer, buffer);
		ret = 0;
	}
	mutex_unlock(&file->lock);
	if (ret)
		plain_unpin(buffer);
	return ret;
}

/* A transfer to or from memory that is pinned for it. */
static long plain_pinned(struct plain_edu *plain, struct plain_transfer *transfer, bool to_memory)
{
	u64 begin = round_down(transfer->at, PAGE_SIZE), skip = transfer->at - begin;
	struct plain_buffer *buffer;
	long ret;

	if (transfer->len > PLAIN_MAX)
		return -EINVAL;
	buffer = plain_pin(begin, PAGE_ALIGN(skip + transfer->len));
	if (IS_ERR(buffer))
		return PTR_ERR(buffer);
	ret = plain_pieces(plain, buffer, skip, transfer->len, to_memory);
	plain_unpin(buffer);
	return ret;
}

static long plain_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	struct plain_file *its = file->private_data;
	struct plain_buffer *buffer;
	struct plain_transfer transfer;

	if (number == PLAIN_NEXT)
		return plain_next(its->plain, (u64 __user *)argument);
	if (copy_from_user(&transfer, (void __user *)argument, sizeof(transfer)))
		return -EFAULT;
	switch (number) {
	case PLAIN_REGISTER:
		return plain_register(its, &transfer);
	case PLAIN_READ:
	case PLAIN_WRITE:
		buffer = smp_load_acquire(&its->buffer);
		if (!buffer)
			return -EINVAL;
		return plain_pieces(its->plain, buffer, transfer.at, transfer.len, number == PLAIN_READ);
	case PLAIN_READ_PINNED:
		return plain_pinned(its->plain, &transfer, true);
	}
	return -ENOTTY;
}

static int plain_open(struct inode *inode, struct file *file)
{
	struct plain_edu *plain = container_of(file->private_data, struct plain_edu, misc);
	struct plain_file *its = kzalloc(sizeof(*its), GFP_KERNEL_ACCOUNT);

	if (!its)
		return -ENOMEM;
	its->plain = plain;
	mutex_init(&its->lock);
	file->private_data = its;
	return 0;
}

static int plain_release(struct inode *inode, struct file *file)
{
	struct plain_file *its = file->private_data;

	if (its->buffer)
		plain_unpin(its->buffer);
	kfree(its);
	return 0;
}

static const struct file_operations plain_fops = {
	.owner = THIS_MODULE,
	.open = plain_open,
	.release = plain_release,
	.unlocked_ioctl = plain_ioctl,
};

static int plain_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct plain_edu *plain;
	int ret;

	ret = pcim_enable_device(pci);
	if (ret)
		return ret;
	ret = pcim_iomap_regions(pci, BIT(0), KBUILD_MODNAME);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pci->dev, DMA_BIT_MASK(32));
	if (ret)
		return ret;
	plain = kzalloc(sizeof(*plain), GFP_KERNEL);
	if (!plain)
		return -ENOMEM;
	plain->pci = pci;
	plain->bar = pcim_iomap_table(pci)[0];
	init_waitqueue_head(&plain->waiting);
	mutex_init(&plain->engine);
	tasklet_setup(&plain->tasklet, plain_tasklet);
	pci_set_master(pci);
	ret = pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		goto free;
	ret = request_irq(pci_irq_vector(pci, 0), plain_isr, 0, KBUILD_MODNAME, plain);
	if (ret)
		goto vectors;
	plain->misc.minor = MISC_DYNAMIC_MINOR;
	plain->misc.name = "plain-edu";
	plain->misc.fops = &plain_fops;
	plain->misc.mode = 0600;
	ret = misc_register(&plain->misc);
	if (ret)
		goto irq;
	pci_set_drvdata(pci, plain);
	return 0;

irq:
	free_irq(pci_irq_vector(pci, 0), plain);
	tasklet_kill(&plain->tasklet);
vectors:
	pci_free_irq_vectors(pci);
free:
	pci_clear_master(pci);
	kfree(plain);
	return ret;
}

/* Files are closed by now: the module is unloaded, and nobody takes the device out. */
static void plain_remove(struct pci_dev *pci)
{
	struct plain_edu *plain = pci_get_drvdata(pci);

	misc_deregister(&plain->misc);
	free_irq(pci_irq_vector(pci, 0), plain);
	tasklet_kill(&plain->tasklet);
	pci_free_irq_vectors(pci);
	pci_clear_master(pci);
	kfree(plain);
}

static const struct pci_device_id plain_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, plain_ids);

static struct pci_driver plain_driver = {
	.name = KBUILD_MODNAME,
	.id_table = plain_ids,
	.probe = plain_probe,
	.remove = plain_remove,
};
module_pci_driver(plain_driver);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Waits for interrupts and transfers of QEMU's edu");
