// SPDX-License-Identifier: MIT OR Apache-2.0
/* Timers of a plugin's: hrtimers, since a jiffy is 4 ms on many kernels. Their handlers run as a softirq, with PREEMPT_RT in its thread. */
#include <linux/hrtimer.h>
#include <linux/slab.h>
#include "kp.h"

#ifdef KP_CALLS_kp_c_timer_new

struct kp_timer {
	struct hrtimer timer;
	const void *cookie;
};

/* The Rust side may have started it anew by its return. */
static enum hrtimer_restart kp_timer_expired(struct hrtimer *timer)
{
	kp_rs_timer(container_of(timer, struct kp_timer, timer)->cookie);
	return HRTIMER_NORESTART;
}

void *kp_c_timer_new(const void *cookie)
{
	struct kp_timer *timer = kmalloc(sizeof(*timer), GFP_KERNEL_ACCOUNT);

	if (!timer)
		return NULL;
	timer->cookie = cookie;
#ifdef KP_HAS_HRTIMER_SETUP
	hrtimer_setup(&timer->timer, kp_timer_expired, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
#else
	hrtimer_init(&timer->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	timer->timer.function = kp_timer_expired;
#endif
	atomic_inc(&kp_live.allocations);
	return timer;
}

void kp_c_timer_free(void *timer)
{
	hrtimer_cancel(&((struct kp_timer *)timer)->timer);
	atomic_dec(&kp_live.allocations);
	kfree(timer);
}

void kp_c_timer_start(void *timer, u64 ns)
{
	hrtimer_start(&((struct kp_timer *)timer)->timer, min_t(u64, ns, KTIME_MAX), HRTIMER_MODE_REL_SOFT);
}

/* Not hrtimer_cancel, which waits for the handler: that may be what asks. */
void kp_c_timer_stop(void *timer)
{
	hrtimer_try_to_cancel(&((struct kp_timer *)timer)->timer);
}

#elif defined(KP_CALLS_kp_c_timer_free)

/* The plugin has work items alone: it makes no timer, but what ends a device's items would end its timers too. */
void kp_c_timer_free(void *timer)
{
}

void kp_c_timer_start(void *timer, u64 ns)
{
}

void kp_c_timer_stop(void *timer)
{
}

#endif
