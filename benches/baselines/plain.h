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

/* Requests and replies at most, in bytes. */
#define PLAIN_MAX 65536

#endif
