// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The module: how it is loaded and unloaded, and what it says of itself. The C glue translates; the Rust side decides.
 */
#include <linux/err.h>
#include <linux/module.h>
#include "kp.h"

/*
 * One Rust object serves kernels with and without these mitigations: where a kernel has no thunks, these stand in.
 */
#if defined(CONFIG_X86_64) && !defined(CONFIG_RETHUNK) && !defined(CONFIG_MITIGATION_RETHUNK)
asm(".pushsection .text\n.globl __x86_return_thunk\n.type __x86_return_thunk,@function\n"
	"__x86_return_thunk:\n\tret\n\tint3\n.size __x86_return_thunk,.-__x86_return_thunk\n.popsection");
#endif
#if defined(CONFIG_X86_64) && !defined(CONFIG_RETPOLINE) && !defined(CONFIG_MITIGATION_RETPOLINE)
#define KP_THUNK(reg) \
	asm(".pushsection .text\n.globl __x86_indirect_thunk_" #reg "\n.type __x86_indirect_thunk_" #reg ",@function\n" \
	    "__x86_indirect_thunk_" #reg ":\n\tjmp *%" #reg "\n\tint3\n" \
	    ".size __x86_indirect_thunk_" #reg ",.-__x86_indirect_thunk_" #reg "\n.popsection")
/* Rust calls through r11. A plugin's C code calls through any. */
KP_THUNK(rax); KP_THUNK(rbx); KP_THUNK(rcx); KP_THUNK(rdx); KP_THUNK(rsi); KP_THUNK(rdi); KP_THUNK(rbp);
KP_THUNK(r8); KP_THUNK(r9); KP_THUNK(r10); KP_THUNK(r11); KP_THUNK(r12); KP_THUNK(r13); KP_THUNK(r14); KP_THUNK(r15);
#endif

/* The module is being unloaded: no file of it is open, so only its work and tasks that died in the plugin are still inside. */
bool kp_exiting;

#ifndef KP_DEVICES

/* A plugin without a device has one node. */

static struct kp_node *kp_only_node;

int kp_start(void)
{
	const u64 no_bars[6][3] = {};
	struct kp_bound_device *bound;
	int ret;

	ret = kp_rs_bind(NULL, no_bars[0], ~0ull, &bound);
	if (ret)
		return ret;
	kp_only_node = kp_node_new(bound, NULL, ~0ull);
	if (IS_ERR(kp_only_node)) {
		if (!kp_rs_remove(bound, true))
			kp_work_settle(); /* the module goes with it */
		kp_rs_drop(bound);
		return PTR_ERR(kp_only_node);
	}
	return 0;
}

void kp_stop(void)
{
	kp_node_free(kp_only_node, true);
}

#endif

static int __init kp_init(void)
{
	int ret = kp_nodes_start();

	if (ret)
		return ret;
	ret = kp_work_start();
	if (ret)
		goto no_work;
	ret = kp_start();
	if (!ret)
		return 0;
	kp_work_stop();
no_work:
	kp_nodes_stop();
	kp_flush_late();
	kp_locks_end();
	return ret;
}

static void __exit kp_exit(void)
{
	kp_exiting = true;
	kp_stop();
	kp_work_stop();
	kp_nodes_stop();
	kp_flush_late();
	kp_locks_end();
	kp_forget_dead();
	kp_report_live();
}

module_init(kp_init);
module_exit(kp_exit);
MODULE_LICENSE(KP_LICENSE);
MODULE_VERSION(KP_VERSION);
MODULE_DESCRIPTION(KP_DESCRIPTION);
/* By this a tool knows a plugin's module, and the names of its nodes. */
MODULE_INFO(kp, KP_NAME);
#ifdef KP_AUTHOR
MODULE_AUTHOR(KP_AUTHOR);
#endif
