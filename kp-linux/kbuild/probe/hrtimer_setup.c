// SPDX-License-Identifier: MIT OR Apache-2.0
#include <linux/hrtimer.h>
void probe(struct hrtimer *timer, enum hrtimer_restart (*expired)(struct hrtimer *timer));
void probe(struct hrtimer *timer, enum hrtimer_restart (*expired)(struct hrtimer *timer))
{
	hrtimer_setup(timer, expired, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
}
