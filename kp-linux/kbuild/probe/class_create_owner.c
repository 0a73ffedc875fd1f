// SPDX-License-Identifier: MIT OR Apache-2.0
#include <linux/device.h>
#include <linux/module.h>
struct class *probe(void);
struct class *probe(void)
{
	return class_create(THIS_MODULE, "probe");
}
