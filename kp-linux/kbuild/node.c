// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The nodes under /dev/kp, and the file operations of what is opened there.
 *
 * A module has a range of device numbers and a class, both called kp-<name>. The class is the module's own: a class's name can be
 * registered once in a machine, and belongs to the module that did.
 */
#include <linux/capability.h>
#include <linux/cdev.h>
#include <linux/compat.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/poll.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/xarray.h>
#include "kp.h"

/*
 * A minor number. It belongs to one bus address, from the first binding there until the module is unloaded. So a copy of a node, as a
 * container has one, leads to the same device always, or to nothing.
 */
struct kp_minor {
	u64 address;
	u32 number; /* in the node's name too */
	struct rw_semaphore lock;
	struct kp_node *node; /* of the device that is bound there. Changed with the lock held for writing */
};

/* One binding. */
struct kp_node {
	struct kp_minor *minor;
	struct kp_bound_device *bound;
};

static struct class *kp_class;
static struct cdev *kp_cdev;
static dev_t kp_first;

#ifdef KP_DEVICES

/* All minor numbers of a major one. */
#define KP_MINORS (1u << MINORBITS)

static DEFINE_XARRAY_ALLOC(kp_minors); /* by number; nothing is taken out before the module is unloaded */
static DEFINE_MUTEX(kp_minors_lock);   /* held while one is looked for and made */

static struct kp_minor *kp_minor_of(struct inode *inode)
{
	return xa_load(&kp_minors, iminor(inode));
}

/* The minor of a bus address. An address that is new gets a number that no other has had. */
static struct kp_minor *kp_minor_at(u64 address)
{
	struct kp_minor *minor;
	unsigned long number;
	int ret;

	xa_for_each(&kp_minors, number, minor)
		if (minor->address == address)
			return minor;
	minor = kzalloc(sizeof(*minor), GFP_KERNEL);
	if (!minor)
		return ERR_PTR(-ENOMEM);
	minor->address = address;
	init_rwsem(&minor->lock);
	ret = xa_alloc(&kp_minors, &minor->number, minor, XA_LIMIT(0, KP_MINORS - 1), GFP_KERNEL);
	if (ret) {
		kfree(minor);
		return ERR_PTR(ret);
	}
	atomic_inc(&kp_live.allocations);
	return minor;
}

static struct kp_minor *kp_minor_get(u64 address)
{
	struct kp_minor *minor;

	mutex_lock(&kp_minors_lock);
	minor = kp_minor_at(address);
	mutex_unlock(&kp_minors_lock);
	return minor;
}

static void kp_minors_free(void)
{
	struct kp_minor *minor;
	unsigned long number;

	xa_for_each(&kp_minors, number, minor) {
		kfree(minor);
		atomic_dec(&kp_live.allocations);
	}
	xa_destroy(&kp_minors);
}

#else

/* A plugin without a device has one minor. */
#define KP_MINORS 1

static struct kp_minor kp_only_minor = { .lock = __RWSEM_INITIALIZER(kp_only_minor.lock) };

static struct kp_minor *kp_minor_of(struct inode *inode)
{
	return &kp_only_minor;
}

static struct kp_minor *kp_minor_get(u64 address)
{
	return &kp_only_minor;
}

static void kp_minors_free(void)
{
}

#endif

/*
 * An opener holds a reference to the module, which cdev_get took: minors stay. An opener that holds a minor's lock and finds a node
 * there has its bound device: kp_node_hide takes the node away under the same lock, and only then is the bound device removed and
 * dropped. So kp_rs_open has returned before that begins, or is not called any more.
 */
static int kp_open(struct inode *inode, struct file *file)
{
	struct kp_minor *minor = kp_minor_of(inode);
	struct kp_session *session;
	int ret;

	if (!minor)
		return -ENODEV;
	ret = down_read_killable(&minor->lock);
	if (ret)
		return ret;
	if (minor->node)
		ret = kp_rs_open(minor->node->bound, task_tgid_nr(current), file_ns_capable(file, &init_user_ns, CAP_SYS_RAWIO),
				 in_compat_syscall(), &session);
	else
		ret = -ENODEV;
	up_read(&minor->lock);
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

	poll_wait(file, kp_rs_wait_queue(file->private_data), table);
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

#ifdef KP_HAS_DEVNODE_CONST
static char *kp_devnode(const struct device *dev, umode_t *mode)
#else
static char *kp_devnode(struct device *dev, umode_t *mode)
#endif
{
	if (mode)
		*mode = 0600;
	return kasprintf(GFP_KERNEL, "kp/%s", dev_name(dev) + strlen("kp-"));
}

/* The module's range of device numbers, and its class. */
int __init kp_nodes_start(void)
{
	int ret = alloc_chrdev_region(&kp_first, 0, KP_MINORS, "kp-" KP_NAME);

	if (ret)
		return ret;
#ifdef KP_HAS_CLASS_CREATE_OWNER
	kp_class = class_create(THIS_MODULE, "kp-" KP_NAME);
#else
	kp_class = class_create("kp-" KP_NAME);
#endif
	if (IS_ERR(kp_class)) {
		ret = PTR_ERR(kp_class);
		goto region;
	}
	kp_class->devnode = kp_devnode;
	kp_cdev = cdev_alloc();
	if (!kp_cdev) {
		ret = -ENOMEM;
		goto class;
	}
	kp_cdev->owner = THIS_MODULE;
	kp_cdev->ops = &kp_fops;
	ret = cdev_add(kp_cdev, kp_first, KP_MINORS);
	if (!ret)
		return 0;
	kobject_put(&kp_cdev->kobj);
class:
	class_destroy(kp_class);
region:
	unregister_chrdev_region(kp_first, KP_MINORS);
	return ret;
}

/* Nothing is bound any more, and no task is in kp_open: the module has no users. */
void kp_nodes_stop(void)
{
	cdev_del(kp_cdev);
	class_destroy(kp_class);
	unregister_chrdev_region(kp_first, KP_MINORS);
	kp_minors_free();
}

static void kp_minor_set(struct kp_minor *minor, struct kp_node *node)
{
	down_write(&minor->lock);
	minor->node = node;
	up_write(&minor->lock);
}

/* Makes /dev/kp/<name> for a bound device. With a `parent`, the name has the minor's number, and `parent` is the node's in sysfs. */
struct kp_node *kp_node_new(struct kp_bound_device *bound, struct device *parent, u64 address)
{
	struct kp_node *node = kzalloc(sizeof(*node), GFP_KERNEL);
	struct device *dev;
	dev_t number;

	if (!node)
		return ERR_PTR(-ENOMEM);
	node->minor = kp_minor_get(address);
	if (IS_ERR(node->minor)) {
		dev = ERR_CAST(node->minor);
		goto free;
	}
	node->bound = bound;
	/* Before udev is notified: who is can open it. */
	kp_minor_set(node->minor, node);
	number = kp_first + node->minor->number;
	if (parent)
		dev = device_create(kp_class, parent, number, NULL, "kp-" KP_NAME ".%u", node->minor->number);
	else
		dev = device_create(kp_class, NULL, number, NULL, "kp-" KP_NAME);
	if (!IS_ERR(dev)) {
		atomic_inc(&kp_live.allocations);
		return node;
	}
	kp_minor_set(node->minor, NULL);
free:
	kfree(node);
	return ERR_CAST(dev);
}

struct kp_bound_device *kp_node_bound(struct kp_node *node)
{
	return node->bound;
}

/* Nothing opens it from here on. */
void kp_node_hide(struct kp_node *node)
{
	if (node->minor->node != node)
		return;
	kp_minor_set(node->minor, NULL);
	device_destroy(kp_class, kp_first + node->minor->number);
}

/* Ends every session of a bound device, then the bound device. False: the plugin has panicked, and what it may use has to stay for good. */
bool kp_node_free(struct kp_node *node, bool present)
{
	kp_node_hide(node);
	if (!kp_rs_remove(node->bound, present)) {
		if (!kp_exiting)
			return false;
		kp_work_settle();
	}
	kp_rs_drop(node->bound);
	kfree(node);
	atomic_dec(&kp_live.allocations);
	return true;
}
