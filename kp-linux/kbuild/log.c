// SPDX-License-Identifier: MIT OR Apache-2.0
/* The module's lines in the kernel's log, and the counts of what is alive, which are the last of them. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/printk.h>
#include "kp.h"

struct kp_live kp_live;

void kp_c_log(const char *text, size_t len)
{
	pr_info("%.*s\n", (int)len, text);
}

#if defined(KP_COHERENT) || defined(KP_PAGES)
#define KP_LIVE_DMA ", %d dma, %d pinned"
#define KP_LIVE_DMA_NUMBERS , atomic_read(&kp_live.dma), atomic_read(&kp_live.pinned)
#else
#define KP_LIVE_DMA
#define KP_LIVE_DMA_NUMBERS
#endif

void kp_report_live(void)
{
	pr_info("unloaded; live: %d allocations, %d locks, %d mappings" KP_LIVE_DMA "\n", atomic_read(&kp_live.allocations),
		atomic_read(&kp_live.locks), atomic_read(&kp_live.mappings) KP_LIVE_DMA_NUMBERS);
}
