// SPDX-License-Identifier: MIT OR Apache-2.0
#include <linux/interrupt.h>
int probe(unsigned int irq, const struct cpumask *mask);
int probe(unsigned int irq, const struct cpumask *mask)
{
	return irq_set_affinity_and_hint(irq, mask);
}
