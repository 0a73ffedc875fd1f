// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A fault for each checker of `cargo kp test --long --only sparse`: for sparse a pointer of the app's that is taken for the kernel's, for
 * Coccinelle a test that kfree makes itself, for checkpatch a missing space.
 */
#include <linux/compiler.h>
#include <linux/slab.h>

int kp_planted(int __user *address, void *memory);
int kp_planted(int __user *address, void *memory)
{
	int *pointer = address;

	if (memory)
		kfree(memory);
	if(pointer)
		return *pointer;
	return 0;
}
