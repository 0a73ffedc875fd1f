// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The yardstick of the calls: a misc device whose ioctl copies a request in and a reply out, and does nothing else.
 *
 * Up to 16 KiB the length stands in the ioctl's number, above in the request. Small requests live on the stack, others in buffers
 * that the file has from its opening on: no call allocates.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "plain.h"

#define ON_STACK 256

struct plain_file {
	struct mutex lock; /* of both buffers */
	void *request;
	void *reply;
};

static int plain_release(struct inode *inode, struct file *file)
{
	struct plain_file *plain = file->private_data;

	kvfree(plain->request);
	kvfree(plain->reply);
	kfree(plain);
	return 0;
}

static int plain_open(struct inode *inode, struct file *file)
{
	struct plain_file *plain = kzalloc(sizeof(*plain), GFP_KERNEL);

	if (!plain)
		return -ENOMEM;
	mutex_init(&plain->lock);
	plain->request = kvmalloc(PLAIN_MAX, GFP_KERNEL);
	plain->reply = kvmalloc(PLAIN_MAX, GFP_KERNEL);
	file->private_data = plain;
	if (!plain->request || !plain->reply) {
		plain_release(inode, file);
		return -ENOMEM;
	}
	return 0;
}

static __always_inline long plain_answer(unsigned int nr, void *request, void *reply, void __user *user, size_t len)
{
	if (copy_from_user(request, user, len))
		return -EFAULT;
	if (nr == PLAIN_MOVED) {
		memcpy(reply, request, len);
		request = reply;
	}
	return copy_to_user(user, request, len) ? -EFAULT : 0;
}

static long plain_large(struct plain_file *plain, unsigned int nr, void __user *user, size_t len)
{
	long ret;

	mutex_lock(&plain->lock);
	ret = plain_answer(nr, plain->request, plain->reply, user, len);
	mutex_unlock(&plain->lock);
	return ret;
}

/* The kernel's build clears arrays on the stack. What is copied in makes that needless here. */
#define WRITTEN_BEFORE_READ __attribute__((__uninitialized__))

static noinline long plain_small(unsigned int nr, void __user *user, size_t len)
{
	u8 request[ON_STACK] WRITTEN_BEFORE_READ, reply[ON_STACK] WRITTEN_BEFORE_READ;

	return plain_answer(nr, request, reply, user, len);
}

static long plain_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	size_t len = _IOC_SIZE(cmd);
	u32 long_len;

	if (_IOC_TYPE(cmd) != PLAIN_TYPE || _IOC_DIR(cmd) != (_IOC_READ | _IOC_WRITE) || _IOC_NR(cmd) > PLAIN_MOVED)
		return -ENOTTY;
	if (!len)
		return 0;
	if (len <= ON_STACK)
		return plain_small(_IOC_NR(cmd), user, len);
	if (len == PLAIN_LENGTH_IN_REQUEST) {
		if (get_user(long_len, (u32 __user *)user))
			return -EFAULT;
		if (long_len > PLAIN_MAX)
			return -EINVAL;
		len = long_len;
	}
	return plain_large(file->private_data, _IOC_NR(cmd), user, len);
}

static const struct file_operations plain_fops = {
	.owner = THIS_MODULE,
	.open = plain_open,
	.release = plain_release,
	.unlocked_ioctl = plain_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice plain_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "plain",
	.fops = &plain_fops,
	.mode = 0600,
};
module_misc_device(plain_misc);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Copies a request in and a reply out");
