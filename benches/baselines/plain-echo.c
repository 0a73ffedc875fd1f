// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The yardstick of the size: what the echo plugin does, as a misc device. It remembers one text per open file and repeats.
 */
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "plain.h"

#define MAX_TEXT 65536
#define MAX_NAP_MS 60000

enum style { PLAIN = 0, LOUD = 1, BACKWARDS = 2 };
#define TRIM_START 1u
#define TRIM_END 2u

/* In and out: addresses and lengths of the text and of the room for the reply. */
struct echo_request {
	__u64 text;
	__u64 reply;
	__u32 text_len;
	__u32 reply_len; /* in: room; out: bytes written */
	__u32 style;
	__u32 trim;
};

struct echo_said {
	__u64 texts;
	__u64 bytes;
};

#define ECHO_SAY _IOWR(PLAIN_TYPE, 1, struct echo_request)
#define ECHO_HEAR _IOWR(PLAIN_TYPE, 2, struct echo_request)
#define ECHO_REPEAT _IOWR(PLAIN_TYPE, 3, struct echo_request)
#define ECHO_SAID _IOR(PLAIN_TYPE, 4, struct echo_said)
#define ECHO_NAP _IO(PLAIN_TYPE, 5)

struct echo_file {
	struct mutex lock;
	char *text;
	u32 len;
	struct echo_said said;
};

static int echo_open(struct inode *inode, struct file *file)
{
	struct echo_file *echo = kzalloc(sizeof(*echo), GFP_KERNEL);

	if (!echo)
		return -ENOMEM;
	mutex_init(&echo->lock);
	file->private_data = echo;
	return nonseekable_open(inode, file);
}

static int echo_release(struct inode *inode, struct file *file)
{
	struct echo_file *echo = file->private_data;

	kvfree(echo->text);
	kfree(echo);
	return 0;
}

static long echo_say(struct echo_file *echo, const struct echo_request *request)
{
	char *text = vmemdup_user(u64_to_user_ptr(request->text), request->text_len);

	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&echo->lock);
	swap(echo->text, text);
	echo->len = request->text_len;
	echo->said.texts++;
	echo->said.bytes += request->text_len;
	mutex_unlock(&echo->lock);
	kvfree(text);
	return 0;
}

static long echo_hear(struct echo_file *echo, struct echo_request *request)
{
	long ret = 0;

	mutex_lock(&echo->lock);
	if (echo->len > request->reply_len)
		ret = -ENOSPC;
	else if (copy_to_user(u64_to_user_ptr(request->reply), echo->text, echo->len))
		ret = -EFAULT;
	request->reply_len = echo->len;
	mutex_unlock(&echo->lock);
	return ret;
}

static void reverse(char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len / 2; i++)
		swap(text[i], text[len - 1 - i]);
}

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\f' || byte == '\r';
}

static long echo_repeat(struct echo_request *request)
{
	size_t len = request->text_len, i;
	char *text, *start;
	long ret = 0;

	if (request->style > BACKWARDS || request->trim & ~(TRIM_START | TRIM_END))
		return -EINVAL;
	text = vmemdup_user(u64_to_user_ptr(request->text), len);
	if (IS_ERR(text))
		return PTR_ERR(text);
	start = text;
	if (request->trim & TRIM_START)
		for (; len && is_space(*start); len--)
			start++;
	if (request->trim & TRIM_END)
		while (len && is_space(start[len - 1]))
			len--;
	if (request->style == LOUD)
		for (i = 0; i < len; i++)
			start[i] = isascii(start[i]) ? toupper(start[i]) : start[i];
	else if (request->style == BACKWARDS)
		reverse(start, len);
	if (len > request->reply_len)
		ret = -ENOSPC;
	else if (copy_to_user(u64_to_user_ptr(request->reply), start, len))
		ret = -EFAULT;
	request->reply_len = len;
	kvfree(text);
	return ret;
}

static long echo_text(struct echo_file *echo, unsigned int cmd, struct echo_request __user *user)
{
	struct echo_request request;
	long ret;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (request.text_len > MAX_TEXT || request.reply_len > MAX_TEXT)
		return -EMSGSIZE;
	switch (cmd) {
	case ECHO_SAY:
		return echo_say(echo, &request);
	case ECHO_HEAR:
		ret = echo_hear(echo, &request);
		break;
	default:
		ret = echo_repeat(&request);
	}
	if (ret && ret != -ENOSPC)
		return ret;
	return put_user(request.reply_len, &user->reply_len) ? -EFAULT : ret;
}

static long echo_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct echo_file *echo = file->private_data;
	struct echo_said said;

	switch (cmd) {
	case ECHO_SAY:
	case ECHO_HEAR:
	case ECHO_REPEAT:
		return echo_text(echo, cmd, (void __user *)arg);
	case ECHO_SAID:
		mutex_lock(&echo->lock);
		said = echo->said;
		mutex_unlock(&echo->lock);
		return copy_to_user((void __user *)arg, &said, sizeof(said)) ? -EFAULT : 0;
	case ECHO_NAP:
		if (arg > MAX_NAP_MS)
			return -EINVAL;
		msleep_interruptible(arg);
		return signal_pending(current) ? -EINTR : 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations echo_fops = {
	.owner = THIS_MODULE,
	.open = echo_open,
	.release = echo_release,
	.unlocked_ioctl = echo_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice echo_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "plain-echo",
	.fops = &echo_fops,
	.mode = 0600,
};
module_misc_device(echo_misc);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Remembers and repeats");
