// SPDX-License-Identifier: MIT OR Apache-2.0
/* An app's memory: every access checked by the kernel, each byte read once. */
#include <linux/compat.h>
#include <linux/limits.h>
#include <linux/uaccess.h>
#include "kp.h"

bool kp_c_user_take(u64 *to, unsigned long address, size_t len);
bool kp_c_user_fetch(void *to, u64 address, size_t len);
bool kp_c_user_store(u64 address, const void *from, size_t len);
bool kp_c_user_answer(unsigned long address, u64 answer);
bool kp_c_user_range(u64 address, size_t len);

bool kp_c_user_take(u64 *to, unsigned long address, size_t len)
{
	const u64 __user *from = (const u64 __user *)address;
	size_t i;

	if (!user_access_begin(from, len))
		return false;
	for (i = 0; i < len / 8; i++)
		unsafe_get_user(to[i], from + i, fault);
	unsafe_put_user(KP_NO_REPLY, (u32 __user *)(address + 8), fault);
	user_access_end();
	return true;
fault:
	user_access_end();
	return false;
}

bool kp_c_user_fetch(void *to, u64 address, size_t len)
{
	return !copy_from_user(to, (const void __user *)(unsigned long)address, len);
}

bool kp_c_user_store(u64 address, const void *from, size_t len)
{
	return !copy_to_user((void __user *)(unsigned long)address, from, len);
}

bool kp_c_user_answer(unsigned long address, u64 answer)
{
	return !put_user(answer, (u64 __user *)address);
}

bool kp_c_user_range(u64 address, size_t len)
{
	if (in_compat_syscall() && address + len > U32_MAX)
		return false;
	return access_ok((void __user *)(unsigned long)address, len);
}
