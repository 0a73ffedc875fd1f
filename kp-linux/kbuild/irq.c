// SPDX-License-Identifier: MIT OR Apache-2.0
/* A device's interrupts, by INTx, MSI or MSI-X: one handler and one tasklet for each vector. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include "kp.h"

#ifdef KP_CALLS_kp_c_irq_prepare

#ifndef KP_HAS_IRQ_SET_AFFINITY_AND_HINT
#define irq_set_affinity_and_hint irq_set_affinity_hint /* before 5.17 it did both */
#endif

static irqreturn_t kp_irq_handler(int irq, void *data)
{
	struct kp_vector *vector = data;

	return kp_rs_isr(vector->device->cookie, vector->index) ? IRQ_HANDLED : IRQ_NONE;
}

static void kp_tasklet(struct tasklet_struct *tasklet)
{
	struct kp_vector *vector = container_of(tasklet, struct kp_vector, tasklet);

	kp_rs_dpc(vector->device->cookie, vector->index);
}

/*
 * Lets the device assert its line, or keeps it from that. A line may be shared: what the device asserts while no handler of its is
 * connected would have the kernel turn the line off for all. So it is off from bind on, but while a line is connected.
 */
static void kp_set_intx(struct kp_device *device, int on)
{
	mutex_lock(&device->command);
	pci_intx(device->pci, on);
	mutex_unlock(&device->command);
}

/* Allocates MSI or MSI-X vectors. A line is not asked for here: the kernel would turn it on at the device at once. */
static int kp_alloc_messages(struct kp_device *device, u32 kinds, u32 min, u32 max)
{
	unsigned int flags = 0;
	int count;

	if (kinds & KP_KIND_MSI)
		flags |= PCI_IRQ_MSI;
	if (kinds & KP_KIND_MSIX)
		flags |= PCI_IRQ_MSIX;
	count = flags ? pci_alloc_irq_vectors(device->pci, min, max, flags) : -ENOSPC;
	/* Some devices send no messages while their line is off. */
	if (count > 0 && device->pci->dev_flags & PCI_DEV_FLAGS_MSI_INTX_DISABLE_BUG)
		kp_set_intx(device, 1);
	return count;
}

int kp_c_irq_prepare(struct kp_device *device, u32 kinds, u32 min, u32 max, u32 *kind)
{
	int count;
	u32 i;

	if (!device)
		return -ENODEV;
	count = kp_alloc_messages(device, kinds, min, max);
	if (count < 0 && kinds & KP_KIND_LINE && min <= 1 && device->pci->irq)
		count = 1;
	if (count < 0)
		return count;
	device->vectors = kvcalloc(count, sizeof(*device->vectors), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!device->vectors) {
		pci_free_irq_vectors(device->pci);
		kp_set_intx(device, 0);
		return -ENOMEM;
	}
	atomic_inc(&kp_live.allocations);
	for (i = 0; i < count; i++) {
		device->vectors[i].device = device;
		device->vectors[i].index = i;
		device->vectors[i].irq = pci_irq_vector(device->pci, i);
		tasklet_setup(&device->vectors[i].tasklet, kp_tasklet);
	}
	device->count = count;
	if (device->pci->msix_enabled)
		device->kind = KP_KIND_MSIX;
	else if (device->pci->msi_enabled)
		device->kind = KP_KIND_MSI;
	else
		device->kind = KP_KIND_LINE;
	*kind = device->kind;
	return count;
}

int kp_c_irq_connect(struct kp_device *device, const void *cookie)
{
	unsigned long flags = device->kind == KP_KIND_LINE ? IRQF_SHARED : 0;
	u32 i;
	int ret;

	device->cookie = cookie;
	/* A message is a write of the device's own. Not sooner: the plugin has told the device by now what it may write to. */
	if (device->kind != KP_KIND_LINE) {
		mutex_lock(&device->command);
		device->messages = true;
		pci_set_master(device->pci);
		mutex_unlock(&device->command);
	}
	for (i = 0; i < device->count; i++) {
		struct kp_vector *vector = &device->vectors[i];

		ret = request_irq(vector->irq, kp_irq_handler, flags, KBUILD_MODNAME, vector);
		if (ret) {
			kp_c_irq_disconnect(device);
			return ret;
		}
		vector->connected = true;
	}
	if (device->kind == KP_KIND_LINE)
		kp_set_intx(device, 1);
	return 0;
}

static void kp_empty_tasklet(struct tasklet_struct *unused)
{
}

static long kp_empty_work(void *unused)
{
	return 0;
}

static void kp_schedule_tasklet(void *tasklet)
{
	tasklet_hi_schedule(tasklet);
}

/*
 * Returns when this CPU has been through a stretch of code with interrupts on. A tasklet is run so, on the way out of the interrupt that
 * queues it: what is pending in the CPU's interrupt controller is taken first. The interrupt alone would be no proof, for its vector
 * outranks a device's. No task of that CPU is needed, which a real-time thread may keep from running: tasklets do not wait for ksoftirqd,
 * unless softirqs are threads (PREEMPT_RT, threadirqs), where free_irq waits for a thread there as well. With PREEMPT_RT it is a task at
 * once: an interrupt from another CPU must raise no softirq there, and the kernel says so if an idle CPU takes it.
 */
static void kp_drain_cpu(int cpu)
{
	struct tasklet_struct passed;
	bool here = get_cpu() == cpu; /* with interrupts on */

	put_cpu();
	if (here)
		return;
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		work_on_cpu(cpu, kp_empty_work, NULL);
		return;
	}
	tasklet_setup(&passed, kp_empty_tasklet);
	if (!smp_call_function_single(cpu, kp_schedule_tasklet, &passed, 1))
		tasklet_kill(&passed);
}

/* Which CPUs an interrupt goes to. Not irq_get_effective_affinity_mask: kernels before 5.16 lack it. */
static const struct cpumask *kp_affinity(int irq)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data ? irq_data_get_effective_affinity_mask(data) : cpu_none_mask;
}

/* A vector that was hinted has moved: what was sent before may be at any CPU. */
static bool kp_interrupts_cpu(struct kp_device *device, int cpu)
{
	u32 i;

	for (i = 0; i < device->count; i++)
		if (device->vectors[i].connected &&
		    (device->vectors[i].hinted || cpumask_test_cpu(cpu, kp_affinity(device->vectors[i].irq))))
			return true;
	return false;
}

/* How often messages are turned off, at a device that has them on again. */
#define KP_TURNS 16

/*
 * Turns the device's messages off. A CPU that moves an MSI elsewhere writes the switch back as it has read it: under the interrupt's lock,
 * which synchronize_hardirq takes. A device that is gone reads as ones.
 */
static void kp_stop_messages(struct kp_device *device)
{
	bool msix = device->kind == KP_KIND_MSIX;
	int at = msix ? device->pci->msix_cap + PCI_MSIX_FLAGS : device->pci->msi_cap + PCI_MSI_FLAGS;
	u16 bit = msix ? PCI_MSIX_FLAGS_MASKALL : PCI_MSI_FLAGS_ENABLE;
	u16 off = msix ? bit : 0;
	u16 control;
	u32 turn, i;

	pci_read_config_word(device->pci, at, &control);
	for (turn = 0; turn < KP_TURNS; turn++) {
		pci_write_config_word(device->pci, at, (control & ~bit) | off);
		for (i = 0; i < device->count; i++)
			if (device->vectors[i].connected)
				synchronize_hardirq(device->vectors[i].irq);
		pci_read_config_word(device->pci, at, &control);
		if ((control & bit) == off || control == (u16)~0)
			return;
	}
}

/*
 * A message is a write, and an interrupt that no CPU has taken yet is nothing that free_irq could see: it would find its vector gone,
 * or given to another device. So the device sends no more of them, and the handler stays until each CPU that they go to has had
 * interrupts on:
 *
 * 1. What was sent before the switch was turned off has arrived when the read that follows is answered: answers do not overtake writes.
 * 2. What has arrived is pending at its CPU, and is taken as soon as that has interrupts on. kp_drain_cpu waits for it.
 *
 * Level-triggered lines need none of this: the handler is asked, and pci_intx has lowered them.
 */
static void kp_drain_messages(struct kp_device *device)
{
	int cpu;

	if (device->kind == KP_KIND_LINE)
		return;
	kp_stop_messages(device);
	cpus_read_lock();
	for_each_online_cpu(cpu)
		if (kp_interrupts_cpu(device, cpu))
			kp_drain_cpu(cpu);
	cpus_read_unlock();
}

void kp_c_irq_disconnect(struct kp_device *device)
{
	u32 i;

	if (!device || !device->vectors)
		return;
	if (device->kind == KP_KIND_LINE)
		kp_set_intx(device, 0);
	kp_drain_messages(device);
	for (i = 0; i < device->count; i++) {
		struct kp_vector *vector = &device->vectors[i];

		if (!vector->connected)
			continue;
		vector->connected = false;
		if (vector->hinted) {
			vector->hinted = false;
			irq_set_affinity_and_hint(vector->irq, NULL); /* free_irq warns else */
		}
		free_irq(vector->irq, vector);
		tasklet_kill(&vector->tasklet);
	}
}

void kp_c_irq_release(struct kp_device *device)
{
	if (!device || !device->vectors)
		return;
	pci_free_irq_vectors(device->pci);
	kvfree(device->vectors);
	atomic_dec(&kp_live.allocations);
	device->vectors = NULL;
	device->count = 0;
	mutex_lock(&device->command);
	device->messages = false;
	pci_intx(device->pci, 0); /* giving messages back has turned it on */
	if (!device->master)
		pci_clear_master(device->pci);
	mutex_unlock(&device->command);
}

void kp_irq_quiesce(struct kp_device *device)
{
	u32 i;

	for (i = 0; i < device->count; i++) {
		if (!device->vectors[i].connected)
			continue;
		synchronize_irq(device->vectors[i].irq);
		tasklet_kill(&device->vectors[i].tasklet);
	}
}

void kp_irq_abandon(struct kp_device *device)
{
	kp_c_irq_disconnect(device);
	kp_c_irq_release(device);
}

/*
 * A line may be shared: it is the device that is kept from asserting it, if it does so now and can be kept from it. What still comes when
 * it is kept from it already is another device's. A vector of its own needs no undoing: free_irq ends it.
 */
bool kp_c_irq_mask(struct kp_device *device, u32 vector)
{
	u16 command;

	if (device->kind != KP_KIND_LINE) {
		disable_irq_nosync(device->vectors[vector].irq);
		return true;
	}
	if (!pci_intx_mask_supported(device->pci))
		return false;
	pci_read_config_word(device->pci, PCI_COMMAND, &command);
	return !(command & PCI_COMMAND_INTX_DISABLE) && pci_check_and_mask_intx(device->pci);
}

/*
 * The kernel notes a message that comes meanwhile, and has its handler run afterwards. It counts how often an interrupt was disabled, so this
 * and kp_c_irq_mask know nothing of each other.
 */
void kp_c_irq_mask_vector(struct kp_device *device, u32 vector, bool mask)
{
	if (mask)
		disable_irq_nosync(device->vectors[vector].irq);
	else
		enable_irq(device->vectors[vector].irq);
}

#ifdef KP_CALLS_kp_c_irq_hint
void kp_c_irq_hint(struct kp_device *device, u32 vector, u32 cpu)
{
	if (cpu >= nr_cpu_ids || !cpu_online(cpu))
		return;
	device->vectors[vector].hinted = true;
	irq_set_affinity_and_hint(device->vectors[vector].irq, cpumask_of(cpu));
}
#endif

void kp_c_dpc_queue(struct kp_device *device, u32 vector)
{
	tasklet_schedule(&device->vectors[vector].tasklet);
}

#endif
