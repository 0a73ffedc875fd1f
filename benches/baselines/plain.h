/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the baselines and the programs that call them agree on. */
#ifndef PLAIN_H
#define PLAIN_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Type byte of all ioctl numbers here. */
#define PLAIN_TYPE 'p'
/* The request goes back as the reply, from the same buffer: _IOC(READ|WRITE, PLAIN_TYPE, PLAIN_SAME, length). */
#define PLAIN_SAME 0
/* The request is copied to a second buffer, and that is the reply: what a driver does that answers with data of its own. */
#define PLAIN_MOVED 1
/* The length in an ioctl number has 14 bits. For this one the request's first u32 is the length. */
#define PLAIN_LENGTH_IN_REQUEST 0x3fff

/* Requests, replies and buffers at most, in bytes. */
#define PLAIN_MAX 65536

/* plain-edu: a range of memory, or, in PLAIN_READ and PLAIN_WRITE, of the file's buffer. */
struct plain_transfer {
	__u64 at;
	__u64 len;
};

/* Waits for the next interrupt; how long ago it has woken the call, in ns. */
#define PLAIN_NEXT _IOR(PLAIN_TYPE, 16, __u64)
/* This memory, whole pages, is the file's buffer. */
#define PLAIN_REGISTER _IOW(PLAIN_TYPE, 17, struct plain_transfer)
/* The card writes so much into the buffer; it reads so much. They answer how many bytes. */
#define PLAIN_READ _IOW(PLAIN_TYPE, 18, struct plain_transfer)
#define PLAIN_WRITE _IOW(PLAIN_TYPE, 19, struct plain_transfer)
/* The card writes memory that is pinned for this transfer. */
#define PLAIN_READ_PINNED _IOW(PLAIN_TYPE, 20, struct plain_transfer)

#endif
