// SPDX-License-Identifier: MIT OR Apache-2.0
#include <linux/device.h>
void probe(struct class *class, char *(*named)(const struct device *dev, umode_t *mode));
void probe(struct class *class, char *(*named)(const struct device *dev, umode_t *mode))
{
	class->devnode = named;
}
