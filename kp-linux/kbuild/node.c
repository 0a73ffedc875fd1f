// SPDX-License-Identifier: MIT OR Apache-2.0
/* Nodes under /dev/kp, and what the files open on them can do. */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include "kp.h"
#include "kp_plugin.h"

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
struct kp_node *kp_node_new(void *driver, int instance)
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

void *kp_node_driver(struct kp_node *node)
{
	return node->driver;
}

/* Nothing opens it from here on. */
void kp_node_hide(struct kp_node *node)
{
	if (node->hidden)
		return;
	node->hidden = true;
	misc_deregister(&node->misc);
}

/* Ends every session of a driver, then the driver. False: the plugin has panicked, and what it may use has to stay for good. */
bool kp_node_free(struct kp_node *node, bool present)
{
	kp_node_hide(node);
	if (!kp_rs_remove(node->driver, present) && !kp_exiting)
		return false;
	kp_rs_drop(node->driver);
	kfree(node);
	return true;
}
