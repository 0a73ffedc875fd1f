// SPDX-License-Identifier: MIT OR Apache-2.0
/* The module's lines in the kernel's log, and the counts of what is alive, which are the last of them. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/kernel.h>
#include <linux/printk.h>
#include "kp.h"

struct kp_live kp_live;

void kp_c_log(const char *text, size_t len)
{
	pr_info("%.*s\n", (int)len, text);
}

void kp_report_live(void)
{
	char dma[48] = "";

#if defined(KP_COHERENT) || defined(KP_PAGES)
	scnprintf(dma, sizeof(dma), ", %d dma, %d pinned", atomic_read(&kp_live.dma), atomic_read(&kp_live.pinned));
#endif
	pr_info("unloaded; live: %d allocations, %d locks, %d mappings%s\n", atomic_read(&kp_live.allocations),
		atomic_read(&kp_live.locks), atomic_read(&kp_live.mappings), dma);
}
