// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The module: nodes under /dev/kp, file operations, the PCI driver. It translates; the Rust side decides.
 *
 * kp_plugin.h is written by `cargo kp build` from the plugin: KP_NAME, KP_LICENSE, KP_VERSION, KP_DEVICES if it drives any, and
 * KP_CALLS_<name> for each function here that the Rust half calls.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include "kp.h"
#include "kp_plugin.h"

/*
 * One Rust object serves kernels with and without these mitigations: where a kernel has no thunks, these stand in.
 */
#if defined(CONFIG_X86_64) && !defined(CONFIG_RETHUNK) && !defined(CONFIG_MITIGATION_RETHUNK)
asm(".pushsection .text\n.globl __x86_return_thunk\n.type __x86_return_thunk,@function\n"
    "__x86_return_thunk:\n\tret\n\tint3\n.size __x86_return_thunk,.-__x86_return_thunk\n.popsection");
#endif
#if defined(CONFIG_X86_64) && !defined(CONFIG_RETPOLINE) && !defined(CONFIG_MITIGATION_RETPOLINE)
asm(".pushsection .text\n.globl __x86_indirect_thunk_r11\n.type __x86_indirect_thunk_r11,@function\n"
    "__x86_indirect_thunk_r11:\n\tjmp *%r11\n\tint3\n.size __x86_indirect_thunk_r11,.-__x86_indirect_thunk_r11\n.popsection");
#endif

/* ---- a node, and the files open on it ---- */

struct kp_node {
	struct miscdevice misc;
	void *driver; /* the Rust side's */
	bool hidden;
	char name[64];
	char path[64];
};

static int kp_open(struct inode *inode, struct file *file)
{
	/* misc_open holds the lock that misc_deregister takes: the node is alive here, and later its pointer is not needed. */
	struct kp_node *node = container_of(file->private_data, struct kp_node, misc);
	void *session;
	int ret;

	ret = kp_rs_open(node->driver, task_tgid_nr(current), file_ns_capable(file, &init_user_ns, CAP_SYS_RAWIO),
			 in_compat_syscall(), &session);
	if (ret)
		return ret;
	file->private_data = session;
	return nonseekable_open(inode, file);
}

static int kp_release(struct inode *inode, struct file *file)
{
	kp_rs_release(file->private_data);
	return 0;
}

static __always_inline long kp_request(struct file *file, unsigned int cmd, unsigned long arg, u64 limit)
{
	const unsigned int request = _IOC(_IOC_READ | _IOC_WRITE, 0xBF, 0, 0);
	const unsigned int direct = _IOC(_IOC_READ | _IOC_WRITE, 0xBF, KP_NR_DIRECT, 0);
	const unsigned int nr = _IOC_NRMASK << _IOC_NRSHIFT;
	const unsigned int message = _IOC_SIZEMASK << _IOC_SIZESHIFT;
	/* The modes' bits are Linux's, as the Rust side knows them. */
	const unsigned int mode = (__force unsigned int)file->f_mode;

	BUILD_BUG_ON((__force unsigned int)FMODE_READ != 1 || (__force unsigned int)FMODE_WRITE != 2);
	if (likely((cmd & ~message) == direct))
		return kp_rs_direct(file->private_data, _IOC_SIZE(cmd), arg, limit, mode);
	if (likely((cmd & ~nr) == request))
		return kp_rs_request(file->private_data, _IOC_NR(cmd), arg, limit, mode);
	return -ENOTTY;
}

static long kp_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kp_request(file, cmd, arg, TASK_SIZE_MAX);
}

#ifdef CONFIG_COMPAT
/* The same structs; but a 32-bit caller's addresses end at 4 GiB. */
static long kp_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kp_request(file, cmd, (unsigned long)compat_ptr(arg), 1ull << 32);
}
#endif

static __poll_t kp_poll(struct file *file, poll_table *table)
{
	__poll_t ready = 0;
	u32 bits;

	poll_wait(file, kp_rs_signal(file->private_data), table);
	bits = kp_rs_ready(file->private_data);
	if (bits & KP_READY_NOTIFICATION)
		ready |= EPOLLIN | EPOLLRDNORM;
	if (bits & KP_READY_OVER)
		ready |= EPOLLHUP | EPOLLERR;
	return ready;
}

static const struct file_operations kp_fops = {
	.owner = THIS_MODULE,
	.open = kp_open,
	.release = kp_release,
	.unlocked_ioctl = kp_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = kp_compat_ioctl,
#endif
	.poll = kp_poll,
	.mmap = kp_mmap,
};

/* Makes /dev/kp/<name> for a bound driver. */
static struct kp_node *kp_node_new(void *driver, int instance)
{
	struct kp_node *node = kzalloc(sizeof(*node), GFP_KERNEL);
	int ret;

	if (!node)
		return ERR_PTR(-ENOMEM);
	node->driver = driver;
	if (instance < 0) {
		snprintf(node->name, sizeof(node->name), "kp-%s", KP_NAME);
		snprintf(node->path, sizeof(node->path), "kp/%s", KP_NAME);
	} else {
		snprintf(node->name, sizeof(node->name), "kp-%s.%d", KP_NAME, instance);
		snprintf(node->path, sizeof(node->path), "kp/%s.%d", KP_NAME, instance);
	}
	node->misc.minor = MISC_DYNAMIC_MINOR;
	node->misc.name = node->name;
	node->misc.nodename = node->path;
	node->misc.fops = &kp_fops;
	node->misc.mode = 0600;
	ret = misc_register(&node->misc);
	if (ret) {
		kfree(node);
		return ERR_PTR(ret);
	}
	return node;
}

/* Nothing opens it from here on. */
static void kp_node_hide(struct kp_node *node)
{
	if (node->hidden)
		return;
	node->hidden = true;
	misc_deregister(&node->misc);
}

/* The module goes: nobody has a file of it open, so nobody but tasks that died there is in the plugin. */
static bool kp_exiting;

/* Ends every session of a driver, then the driver. False: the plugin has panicked, and what it may use has to stay for good. */
static bool kp_node_free(struct kp_node *node, bool present)
{
	kp_node_hide(node);
	if (!kp_rs_remove(node->driver, present) && !kp_exiting)
		return false;
	kp_rs_drop(node->driver);
	kfree(node);
	return true;
}

#ifdef KP_DEVICES

/* ---- the PCI driver ---- */

static DEFINE_IDA(kp_instances);

struct kp_bound {
	struct kp_device device;
	int instance;
};

static int kp_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	u64 address = (u64)pci_domain_nr(pci->bus) << 16 | (u64)pci->bus->number << 8 | pci->devfn;
	struct kp_bound *bound;
	struct kp_node *node;
	u64 bars[6] = {};
	void *driver;
	int i, ret;

	bound = kzalloc(sizeof(*bound), GFP_KERNEL);
	if (!bound)
		return -ENOMEM;
	bound->device.pci = pci;
	mutex_init(&bound->device.command);
	ret = pci_enable_device(pci);
	if (ret)
		goto free;
	ret = pci_request_regions(pci, KBUILD_MODNAME);
	if (ret)
		goto disable;
	for (i = 0; i < 6; i++)
		if (pci_resource_flags(pci, i) & IORESOURCE_MEM)
			bars[i] = pci_resource_len(pci, i);
	ret = kp_rs_bind(&bound->device, bars, address, &driver);
	if (ret)
		goto regions;
	bound->instance = ida_alloc(&kp_instances, GFP_KERNEL);
	if (bound->instance < 0) {
		ret = bound->instance;
		goto unbind;
	}
	node = kp_node_new(driver, bound->instance);
	if (IS_ERR(node)) {
		ret = PTR_ERR(node);
		goto instance;
	}
	bound->device.node = node;
	pci_set_drvdata(pci, bound);
	return 0;

instance:
	ida_free(&kp_instances, bound->instance);
unbind:
	kp_rs_remove(driver, true);
	kp_rs_drop(driver);
regions:
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_clear_master(pci);
	pci_release_regions(pci);
disable:
	pci_disable_device(pci);
free:
	kfree(bound);
	return ret;
}

static void kp_remove(struct pci_dev *pci)
{
	struct kp_bound *bound = pci_get_drvdata(pci);

	if (!kp_node_free(bound->device.node, pci_device_is_present(pci)))
		return;
	ida_free(&kp_instances, bound->instance);
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_clear_master(pci);
	pci_release_regions(pci);
	pci_disable_device(pci);
	kfree(bound);
}

/* Power-off and kexec: as a removal, but the record stays for those who still hold a file. */
static void kp_shutdown(struct pci_dev *pci)
{
	struct kp_bound *bound = pci_get_drvdata(pci);

	kp_node_hide(bound->device.node);
	kp_rs_remove(bound->device.node->driver, true);
	pci_clear_master(pci);
}

static int kp_suspend(struct device *dev)
{
	struct kp_bound *bound = dev_get_drvdata(dev);

	kp_rs_suspend(bound->device.node->driver);
	return 0;
}

static int kp_resume(struct device *dev)
{
	struct kp_bound *bound = dev_get_drvdata(dev);

	kp_rs_resume(bound->device.node->driver);
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(kp_pm, kp_suspend, kp_resume);

static const struct pci_device_id kp_ids[] = { KP_DEVICES, {} };
MODULE_DEVICE_TABLE(pci, kp_ids);

static struct pci_driver kp_driver = {
	.name = KBUILD_MODNAME,
	.id_table = kp_ids,
	.probe = kp_probe,
	.remove = kp_remove,
	.shutdown = kp_shutdown,
	.driver.pm = pm_sleep_ptr(&kp_pm),
};

static int kp_start(void)
{
	return pci_register_driver(&kp_driver);
}

static void kp_stop(void)
{
	pci_unregister_driver(&kp_driver);
}

#else

/* ---- a plugin without a device ---- */

static struct kp_node *kp_only;

static int kp_start(void)
{
	const u64 no_bars[6] = {};
	void *driver;
	int ret;

	ret = kp_rs_bind(NULL, no_bars, ~0ull, &driver);
	if (ret)
		return ret;
	kp_only = kp_node_new(driver, -1);
	if (IS_ERR(kp_only)) {
		kp_rs_remove(driver, true);
		kp_rs_drop(driver);
		return PTR_ERR(kp_only);
	}
	return 0;
}

static void kp_stop(void)
{
	kp_node_free(kp_only, true);
}

#endif

static int __init kp_init(void)
{
	int ret = kp_start();

	if (ret)
		kp_flush_late();
	return ret;
}

static void __exit kp_exit(void)
{
	kp_exiting = true;
	kp_stop();
	kp_flush_late();
	kp_report_live();
}

module_init(kp_init);
module_exit(kp_exit);
MODULE_LICENSE(KP_LICENSE);
MODULE_VERSION(KP_VERSION);
MODULE_DESCRIPTION(KP_DESCRIPTION);
#ifdef KP_AUTHOR
MODULE_AUTHOR(KP_AUTHOR);
#endif
