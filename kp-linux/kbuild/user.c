// SPDX-License-Identifier: MIT OR Apache-2.0
/* Copies between an app's memory and the Rust side's: every access is checked by the kernel, and each byte is read once. */
#include <linux/uaccess.h>
#include "kp.h"

bool kp_c_user_take(void *to, unsigned long address, size_t len)
{
	const u64 __user *from = (const u64 __user *)address;
	u64 *words = to;
	size_t i;

	if (!user_access_begin(from, len))
		return false;
	if (likely(len == KP_CALL_SIZE)) {
#pragma GCC unroll 7
		for (i = 0; i < KP_CALL_SIZE / 8; i++)
			unsafe_get_user(words[i], from + i, fault);
	} else {
		for (i = 0; i < len / 8; i++)
			unsafe_get_user(words[i], from + i, fault);
	}
	unsafe_put_user(KP_NO_REPLY, (u32 __user *)(address + 8), fault);
	user_access_end();
	return true;
fault:
	user_access_end();
	return false;
}

bool kp_c_user_fetch(void *to, unsigned long address, size_t len)
{
	return !copy_from_user(to, (const void __user *)address, len);
}

bool kp_c_user_store(unsigned long address, const void *from, size_t len)
{
	return !copy_to_user((void __user *)address, from, len);
}

bool kp_c_user_answer(unsigned long address, u64 answer)
{
	return !put_user(answer, (u64 __user *)address);
}

/* Few bytes, as words, inside a user-access section. */
#define KP_GET_WORDS(to, from, len, label)                                                  \
	do {                                                                                \
		for (; (len) >= 32; (len) -= 32, (from) += 32, (to) += 32) {                \
			unsafe_get_user(((u64 *)(to))[0], (const u64 __user *)(from), label);     \
			unsafe_get_user(((u64 *)(to))[1], (const u64 __user *)(from) + 1, label); \
			unsafe_get_user(((u64 *)(to))[2], (const u64 __user *)(from) + 2, label); \
			unsafe_get_user(((u64 *)(to))[3], (const u64 __user *)(from) + 3, label); \
		}                                                                           \
		if (!(len))                                                                 \
			break;                                                              \
		for (; (len) >= 8; (len) -= 8, (from) += 8, (to) += 8)                      \
			unsafe_get_user(*(u64 *)(to), (const u64 __user *)(from), label);   \
		if ((len) >= 4) {                                                           \
			unsafe_get_user(*(u32 *)(to), (const u32 __user *)(from), label);   \
			(len) -= 4, (from) += 4, (to) += 4;                                 \
		}                                                                           \
		for (; (len); (len)--, (from)++, (to)++)                                    \
			unsafe_get_user(*(u8 *)(to), (const u8 __user *)(from), label);     \
	} while (0)

#define KP_PUT_WORDS(to, from, len, label)                                                  \
	do {                                                                                \
		for (; (len) >= 32; (len) -= 32, (from) += 32, (to) += 32) {                \
			unsafe_put_user(((const u64 *)(from))[0], (u64 __user *)(to), label);     \
			unsafe_put_user(((const u64 *)(from))[1], (u64 __user *)(to) + 1, label); \
			unsafe_put_user(((const u64 *)(from))[2], (u64 __user *)(to) + 2, label); \
			unsafe_put_user(((const u64 *)(from))[3], (u64 __user *)(to) + 3, label); \
		}                                                                           \
		for (; (len) >= 8; (len) -= 8, (from) += 8, (to) += 8)                      \
			unsafe_put_user(*(const u64 *)(from), (u64 __user *)(to), label);   \
		for (; (len); (len)--, (from)++, (to)++)                                    \
			unsafe_put_user(*(const u8 *)(from), (u8 __user *)(to), label);     \
	} while (0)

bool kp_c_user_begin(void *to, unsigned long address, size_t len)
{
	u64 __user *answer = (u64 __user *)address;
	const char __user *from = (const char __user *)(answer + 1);
	size_t i;

	if (!user_access_begin(answer, sizeof(*answer) + len))
		return false;
	if (likely(len == KP_SEGMENTS_SIZE)) {
#pragma GCC unroll 3
		for (i = 0; i < KP_SEGMENTS_SIZE / 8; i++)
			unsafe_get_user(((u64 *)to)[i], (const u64 __user *)from + i, fault);
	} else {
		KP_GET_WORDS(to, from, len, fault);
	}
	unsafe_put_user(0, answer, fault);
	user_access_end();
	return true;
fault:
	user_access_end();
	return false;
}

bool kp_c_user_end(unsigned long address, const void *from, size_t len)
{
	char __user *to = (char __user *)address;

	if (!user_write_access_begin(to, len))
		return false;
	KP_PUT_WORDS(to, from, len, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

bool kp_c_user_fetch_words(void *to, unsigned long address, size_t len)
{
	const char __user *from = (const char __user *)address;

	if (!user_read_access_begin(from, len))
		return false;
	KP_GET_WORDS(to, from, len, fault);
	user_read_access_end();
	return true;
fault:
	user_read_access_end();
	return false;
}

/* The head's address was found to be the caller's when its request was taken. */
bool kp_c_user_reply(unsigned long address, const void *from, size_t len, unsigned long head, u64 answer)
{
	char __user *to = (char __user *)address;

	if (len ? !user_write_access_begin(to, len) : !user_write_access_begin((void __user *)head, 8))
		return false;
	KP_PUT_WORDS(to, from, len, fault);
	unsafe_put_user(answer, (u64 __user *)head, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

/*
 * copy_from_user and copy_to_user check that the kernel's side of each copy is one object's. Here the object is checked as a whole, once
 * in a call, and the Rust side's slices keep every copy inside it.
 */
void kp_c_user_vouch(const void *object, size_t len)
{
	check_object_size(object, len, true);
}

bool kp_c_user_fetch_vouched(void *to, unsigned long address, size_t len)
{
	return !_copy_from_user(to, (const void __user *)address, len);
}

bool kp_c_user_reply_vouched(unsigned long address, const void *from, size_t len, unsigned long head, u64 answer)
{
	return !_copy_to_user((void __user *)address, from, len) && !put_user(answer, (u64 __user *)head);
}
