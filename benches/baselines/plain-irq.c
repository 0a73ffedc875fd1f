// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The yardstick of the interrupts: a PCI driver of QEMU's edu. The handler acknowledges the device, a tasklet counts, and a reader
 * that waits is woken and gets how many interrupts have come since it read last, as a u32.
 */
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define EDU_INTERRUPT_STATUS 0x24
#define EDU_INTERRUPT_ACKNOWLEDGE 0x64

static unsigned int defer = 1;
module_param(defer, uint, 0444);
MODULE_PARM_DESC(defer, "0: count in the handler, and wake nobody");

struct plain_irq {
	struct miscdevice misc;
	void __iomem *bar;
	struct tasklet_struct tasklet;
	wait_queue_head_t readers;
	atomic_t came;	   /* interrupts that the tasklet has not seen */
	spinlock_t lock;   /* of `waiting`: tasklet and reader */
	u32 waiting;	   /* interrupts that nobody has read */
	atomic64_t handled;
};

static irqreturn_t plain_isr(int irq, void *data)
{
	struct plain_irq *plain = data;
	u32 bits = ioread32(plain->bar + EDU_INTERRUPT_STATUS);

	if (!bits)
		return IRQ_NONE;
	iowrite32(bits, plain->bar + EDU_INTERRUPT_ACKNOWLEDGE);
	atomic64_inc(&plain->handled);
	if (defer) {
		atomic_inc(&plain->came);
		tasklet_schedule(&plain->tasklet);
	}
	return IRQ_HANDLED;
}

static void plain_tasklet(struct tasklet_struct *tasklet)
{
	struct plain_irq *plain = container_of(tasklet, struct plain_irq, tasklet);
	u32 came = atomic_xchg(&plain->came, 0);

	spin_lock(&plain->lock);
	plain->waiting += came;
	spin_unlock(&plain->lock);
	wake_up_interruptible(&plain->readers);
}

static u32 plain_take(struct plain_irq *plain)
{
	u32 count;

	spin_lock_bh(&plain->lock);
	count = plain->waiting;
	plain->waiting = 0;
	spin_unlock_bh(&plain->lock);
	return count;
}

static ssize_t plain_read(struct file *file, char __user *user, size_t len, loff_t *at)
{
	struct plain_irq *plain = container_of(file->private_data, struct plain_irq, misc);
	u32 count;
	int ret;

	if (len != sizeof(count))
		return -EINVAL;
	ret = wait_event_interruptible(plain->readers, (count = plain_take(plain)) != 0);
	if (ret)
		return ret;
	return put_user(count, (u32 __user *)user) ? -EFAULT : sizeof(count);
}

static __poll_t plain_poll(struct file *file, poll_table *table)
{
	struct plain_irq *plain = container_of(file->private_data, struct plain_irq, misc);

	poll_wait(file, &plain->readers, table);
	return READ_ONCE(plain->waiting) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_operations plain_fops = {
	.owner = THIS_MODULE,
	.read = plain_read,
	.poll = plain_poll,
};

static int plain_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct plain_irq *plain;
	int ret;

	ret = pcim_enable_device(pci);
	if (ret)
		return ret;
	ret = pcim_iomap_regions(pci, BIT(0), KBUILD_MODNAME);
	if (ret)
		return ret;
	plain = kzalloc(sizeof(*plain), GFP_KERNEL);
	if (!plain)
		return -ENOMEM;
	plain->bar = pcim_iomap_table(pci)[0];
	init_waitqueue_head(&plain->readers);
	spin_lock_init(&plain->lock);
	tasklet_setup(&plain->tasklet, plain_tasklet);
	pci_set_master(pci);
	ret = pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		goto free;
	ret = request_irq(pci_irq_vector(pci, 0), plain_isr, 0, KBUILD_MODNAME, plain);
	if (ret)
		goto vectors;
	plain->misc.minor = MISC_DYNAMIC_MINOR;
	plain->misc.name = "plain-irq";
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

static void plain_remove(struct pci_dev *pci)
{
	struct plain_irq *plain = pci_get_drvdata(pci);

	misc_deregister(&plain->misc);
	free_irq(pci_irq_vector(pci, 0), plain);
	tasklet_kill(&plain->tasklet);
	pci_free_irq_vectors(pci);
	pci_clear_master(pci);
	dev_info(&pci->dev, "%lld interrupts handled\n", atomic64_read(&plain->handled));
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
MODULE_DESCRIPTION("Hands the interrupts of QEMU's edu to a reader");
