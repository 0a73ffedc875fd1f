// SPDX-License-Identifier: MIT OR Apache-2.0
/* The monotonic clock, busy waits and sleeps. */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include "kp.h"

/*
 * Not the fast clock for NMIs, which may step back while the timekeeper is updated: a difference of two of its times may be negative.
 * This one reads again then. It takes no lock, so it is right in an interrupt handler; nothing of a plugin runs in an NMI.
 */
u64 kp_c_now(void)
{
	return ktime_get_ns();
}

#ifdef KP_CALLS_kp_c_stall
void kp_c_stall(u32 us)
{
	udelay(us);
}
#endif

#ifdef KP_CALLS_kp_c_sleep
void kp_c_sleep(u64 ns)
{
	ktime_t until = ktime_add_ns(ktime_get(), ns);

	do {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
	} while (ktime_before(ktime_get(), until));
}
#endif
