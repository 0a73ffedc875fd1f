// SPDX-License-Identifier: MIT OR Apache-2.0
/* The PCI driver of a plugin that drives devices: probe, remove, power, resets and errors. */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include "kp.h"

#ifdef KP_DEVICES

struct kp_record {
	struct kp_device device; /* its node: none between an error and the recovery, and after a recovery that failed */
	struct pci_saved_state *config; /* as before the plugin had the device */
	bool is_lost; /* there was an error, and the device was not restored since: its configuration may be that of power-on */
	struct list_head leaked;
};

/*
 * Records of devices that were taken from a plugin that has panicked: a call that never returned may use them. They go with the
 * module, when no call can be inside any more. The kernel's own tables point into the module until then: the name of a region is ours.
 */
static LIST_HEAD(kp_leaked);
static DEFINE_MUTEX(kp_leaked_lock);

static struct kp_record *kp_record_new(void)
{
	struct kp_record *record = kzalloc(sizeof(*record), GFP_KERNEL);

	if (record)
		atomic_inc(&kp_live.allocations);
	return record;
}

static void kp_record_free(struct kp_record *record)
{
	kfree(record->device.spare);
	kfree(record);
	atomic_dec(&kp_live.allocations);
}

/* Gives back what probing took. No call is in the plugin. */
static void kp_release_device(struct kp_record *record)
{
	struct pci_dev *pci = record->device.pci;

	kfree(record->config);
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_release_regions(pci);
	pci_disable_device(pci);
	kp_record_free(record);
}

/* Has the plugin take the device, and makes its node. */
static int kp_bind(struct kp_record *record)
{
	struct pci_dev *pci = record->device.pci;
	u64 address = (u64)pci_domain_nr(pci->bus) << 16 | (u64)pci->bus->number << 8 | pci->devfn;
	struct kp_node *node;
	u64 bars[6][3] = {};
	struct kp_bound_device *bound;
	int i, ret;

	for (i = 0; i < 6; i++) {
		unsigned long flags = pci_resource_flags(pci, i);

		if (flags & IORESOURCE_MEM) {
			bars[i][0] = pci_resource_len(pci, i);
			bars[i][1] = flags & IORESOURCE_PREFETCH ? KP_BAR_PREFETCHABLE : KP_BAR_MEMORY;
		} else if ((flags & IORESOURCE_IO) && IS_ENABLED(CONFIG_X86)) {
			bars[i][0] = pci_resource_len(pci, i);
			bars[i][1] = KP_BAR_PORTS;
			bars[i][2] = pci_resource_start(pci, i);
		}
	}
	ret = kp_rs_bind(&record->device, bars[0], address, &bound);
	if (ret) {
		if (READ_ONCE(kp_rs_poisoned))
			kp_work_settle(); /* what `init` has queued, and a panic has left */
		return ret;
	}
	node = kp_node_new(bound, &pci->dev, address);
	if (IS_ERR(node)) {
		dev_err(&pci->dev, "no node: error %ld\n", PTR_ERR(node)); /* a recovery has no caller that says so */
		if (!kp_rs_remove(bound, true))
			kp_work_settle(); /* the record goes with it */
		kp_rs_drop(bound);
		return PTR_ERR(node);
	}
	record->device.node = node;
	return 0;
}

static int kp_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct kp_record *record;
	int ret;

	record = kp_record_new();
	if (!record)
		return -ENOMEM;
	record->device.pci = pci;
	mutex_init(&record->device.command);
	ret = pci_enable_device(pci);
	if (ret)
		goto free;
	pci_intx(pci, 0); /* enabling has turned it on, and no handler is connected yet */
	ret = pci_request_regions(pci, KBUILD_MODNAME);
	if (ret)
		goto disable;
	pci_save_state(pci);
	record->config = pci_store_saved_state(pci); /* for the recovery from an error */
	if (!record->config) {
		ret = -ENOMEM;
		goto regions;
	}
	ret = kp_bind(record);
	if (ret)
		goto config;
	pci_set_drvdata(pci, record);
	return 0;

config:
	kfree(record->config);
regions:
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_clear_master(pci);
	pci_release_regions(pci);
disable:
	pci_disable_device(pci);
free:
	kp_record_free(record);
	return ret;
}

/* Gives the device the configuration that it had before the plugin did. Whether it did. */
static bool kp_restore(struct kp_record *record)
{
	if (pci_load_saved_state(record->device.pci, record->config))
		return false;
	pci_restore_state(record->device.pci);
	record->is_lost = false;
	return true;
}

static void kp_remove(struct pci_dev *pci)
{
	struct kp_record *record = pci_get_drvdata(pci);
	bool is_over = !record->device.node || kp_node_free(record->device.node, pci_device_is_present(pci));

	/* A task that died between preparing an interrupt and its end has left it so. */
	if (kp_exiting)
		kp_irq_abandon(&record->device);
	if (record->is_lost && pci_device_is_present(pci))
		kp_restore(record); /* for the next driver: the kernel has given up on the device, and probing restores nothing */
	pci_clear_master(pci);
	if (is_over) {
		kp_release_device(record);
		return;
	}
	pci_dev_get(pci);
	mutex_lock(&kp_leaked_lock);
	list_add(&record->leaked, &kp_leaked);
	mutex_unlock(&kp_leaked_lock);
}

/* Power-off and kexec: as a removal, but the record stays for those who still hold a file. */
static void kp_shutdown(struct pci_dev *pci)
{
	struct kp_record *record = pci_get_drvdata(pci);

	if (record->device.node) {
		kp_node_hide(record->device.node);
		kp_rs_remove(kp_node_bound(record->device.node), pci_device_is_present(pci));
	}
	pci_clear_master(pci);
}

static int __maybe_unused kp_suspend(struct device *dev)
{
	struct kp_record *record = dev_get_drvdata(dev);

	if (record->device.node)
		kp_rs_suspend(kp_node_bound(record->device.node));
	return 0;
}

static int __maybe_unused kp_resume(struct device *dev)
{
	struct kp_record *record = dev_get_drvdata(dev);

	if (record->device.node)
		kp_rs_resume(kp_node_bound(record->device.node));
	return 0;
}

/* Not DEFINE_SIMPLE_DEV_PM_OPS: kernels before 5.17 lack it, or have one of the same name with another meaning. */
static const struct dev_pm_ops kp_pm = { SET_SYSTEM_SLEEP_PM_OPS(kp_suspend, kp_resume) };

/*
 * Resets and errors. The PCI core holds the device's lock around each of these, as around probe and remove, and requests of apps never
 * take it.
 */

/* The device is reset through sysfs, or with another of its bus. */
static void kp_reset_prepare(struct pci_dev *pci)
{
	struct kp_record *record = pci_get_drvdata(pci);

	if (record->device.node)
		kp_rs_reset_prepare(kp_node_bound(record->device.node));
	kp_irq_quiesce(&record->device);
}

static void kp_reset_done(struct pci_dev *pci)
{
	struct kp_record *record = pci_get_drvdata(pci);

	if (record->device.node)
		kp_rs_reset_done(kp_node_bound(record->device.node));
}

/* What it may write to is about to be given back. It is there still: the link below a fatal error is reset later. */
static void kp_stop_transfers(struct kp_record *record)
{
	u16 command;

	mutex_lock(&record->device.command);
	record->device.master = false;
	pci_clear_master(record->device.pci);
	pci_read_config_word(record->device.pci, PCI_COMMAND, &command); /* it has arrived */
	mutex_unlock(&record->device.command);
}

/*
 * An error that cannot be corrected: for the plugin and its apps the device is gone, whatever can be done about it. If only a transfer has
 * failed, the device answers still, and may be left as it is: Linux resets nothing then. So the plugin quiets it.
 */
static pci_ers_result_t kp_error_detected(struct pci_dev *pci, pci_channel_state_t state)
{
	struct kp_record *record = pci_get_drvdata(pci);
	bool present = state == pci_channel_io_normal && pci_device_is_present(pci);
	bool is_over;

	if (!present)
		kp_stop_transfers(record); /* else the plugin quiets it first */
	is_over = !record->device.node || kp_node_free(record->device.node, present);
	record->is_lost = true;
	kp_stop_transfers(record); /* whatever a call has turned on meanwhile */
	if (!is_over)
		return PCI_ERS_RESULT_DISCONNECT; /* the plugin has panicked: the record stays for kp_remove */
	record->device.node = NULL;
	kp_flush_late();
	if (state == pci_channel_io_perm_failure)
		return PCI_ERS_RESULT_DISCONNECT;
	return PCI_ERS_RESULT_NEED_RESET;
}

/* The device may have been reset, and know nothing any more. */
static pci_ers_result_t kp_slot_reset(struct pci_dev *pci)
{
	struct kp_record *record = pci_get_drvdata(pci);

	if (record->device.node || !kp_restore(record))
		return PCI_ERS_RESULT_DISCONNECT;
	return PCI_ERS_RESULT_RECOVERED;
}

/*
 * Everything on its bus has recovered: the plugin takes it anew. If it refuses, the device stays without a node until it is bound again, or
 * recovers from another error.
 */
static void kp_error_resume(struct pci_dev *pci)
{
	struct kp_record *record = pci_get_drvdata(pci);

	if (record->device.node)
		return;
	if (kp_bind(record)) {
		kp_flush_late();
		pci_clear_master(pci);
	}
}

static const struct pci_error_handlers kp_error_handlers = {
	.reset_prepare = kp_reset_prepare,
	.reset_done = kp_reset_done,
	.error_detected = kp_error_detected,
	.slot_reset = kp_slot_reset,
	.resume = kp_error_resume,
};

static const struct pci_device_id kp_ids[] = { KP_DEVICES, {} };
MODULE_DEVICE_TABLE(pci, kp_ids);

/*
 * Which devices the module is made for, a line each as `new_id` takes it: an app whose node is missing looks for them on the bus. The table
 * of a module that was loaded by hand is in no file.
 */
static ssize_t ids_show(struct device_driver *driver, char *buf)
{
	int i, len = 0;

	for (i = 0; i < ARRAY_SIZE(kp_ids) - 1; i++)
		len += sysfs_emit_at(buf, len, "%x %x %x %x %x %x\n", kp_ids[i].vendor, kp_ids[i].device,
			kp_ids[i].subvendor, kp_ids[i].subdevice, kp_ids[i].class, kp_ids[i].class_mask);
	return len;
}
static DRIVER_ATTR_RO(ids);

static struct attribute *kp_driver_attrs[] = { &driver_attr_ids.attr, NULL };
ATTRIBUTE_GROUPS(kp_driver);

static struct pci_driver kp_driver = {
	.name = KBUILD_MODNAME,
	.id_table = kp_ids,
	.groups = kp_driver_groups,
	.probe = kp_probe,
	.remove = kp_remove,
	.shutdown = kp_shutdown,
	.err_handler = &kp_error_handlers,
	.driver.pm = &kp_pm,
};

int kp_start(void)
{
	return pci_register_driver(&kp_driver);
}

void kp_stop(void)
{
	struct kp_record *record, *after;

	pci_unregister_driver(&kp_driver);
	/* Alone here: nothing is probed or removed any more. */
	list_for_each_entry_safe(record, after, &kp_leaked, leaked) {
		struct pci_dev *pci = record->device.pci;

		kp_node_free(record->device.node, false);
		kp_irq_abandon(&record->device);
		kp_release_device(record);
		pci_dev_put(pci);
	}
}

#endif
