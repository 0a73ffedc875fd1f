// SPDX-License-Identifier: MIT OR Apache-2.0
/* The PCI driver of a plugin that drives devices. */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include "kp.h"
#include "kp_plugin.h"

#ifdef KP_DEVICES

static DEFINE_IDA(kp_instances);

struct kp_bound {
	struct kp_device device;
	int instance;
	struct list_head leaked;
};

/*
 * Records of devices that were taken from a plugin that has panicked: a call that never returned may use them. They go with the
 * module, when nobody can be inside any more. The kernel's own tables point into the module until then: the name of a region is ours.
 */
static LIST_HEAD(kp_leaked);
static DEFINE_MUTEX(kp_leaked_lock);

/* Gives back what probing took. Nobody is in the plugin. */
static void kp_give_back(struct kp_bound *bound)
{
	struct pci_dev *pci = bound->device.pci;

	ida_free(&kp_instances, bound->instance);
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_release_regions(pci);
	pci_disable_device(pci);
	kfree(bound);
}

static int kp_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	u64 address = (u64)pci_domain_nr(pci->bus) << 16 | (u64)pci->bus->number << 8 | pci->devfn;
	struct kp_bound *bound;
	struct kp_node *node;
	u64 bars[6] = {};
	void *driver;
	int i, ret;

	bound = kzalloc(sizeof(*bound), GFP_KERNEL);
	if (!bound)
		return -ENOMEM;
	bound->device.pci = pci;
	mutex_init(&bound->device.command);
	ret = pci_enable_device(pci);
	if (ret)
		goto free;
	ret = pci_request_regions(pci, KBUILD_MODNAME);
	if (ret)
		goto disable;
	for (i = 0; i < 6; i++)
		if (pci_resource_flags(pci, i) & IORESOURCE_MEM)
			bars[i] = pci_resource_len(pci, i);
	ret = kp_rs_bind(&bound->device, bars, address, &driver);
	if (ret)
		goto regions;
	bound->instance = ida_alloc(&kp_instances, GFP_KERNEL);
	if (bound->instance < 0) {
		ret = bound->instance;
		goto unbind;
	}
	node = kp_node_new(driver, bound->instance);
	if (IS_ERR(node)) {
		ret = PTR_ERR(node);
		goto instance;
	}
	bound->device.node = node;
	pci_set_drvdata(pci, bound);
	return 0;

instance:
	ida_free(&kp_instances, bound->instance);
unbind:
	kp_rs_remove(driver, true);
	kp_rs_drop(driver);
regions:
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_clear_master(pci);
	pci_release_regions(pci);
disable:
	pci_disable_device(pci);
free:
	kfree(bound);
	return ret;
}

static void kp_remove(struct pci_dev *pci)
{
	struct kp_bound *bound = pci_get_drvdata(pci);
	bool is_over = kp_node_free(bound->device.node, pci_device_is_present(pci));

	/* A task that died between preparing an interrupt and its end has left it so. */
	if (kp_exiting)
		kp_irq_abandon(&bound->device);
	pci_clear_master(pci);
	if (is_over) {
		kp_give_back(bound);
		return;
	}
	pci_dev_get(pci);
	mutex_lock(&kp_leaked_lock);
	list_add(&bound->leaked, &kp_leaked);
	mutex_unlock(&kp_leaked_lock);
}

/* Power-off and kexec: as a removal, but the record stays for those who still hold a file. */
static void kp_shutdown(struct pci_dev *pci)
{
	struct kp_bound *bound = pci_get_drvdata(pci);

	kp_node_hide(bound->device.node);
	kp_rs_remove(kp_node_driver(bound->device.node), pci_device_is_present(pci));
	pci_clear_master(pci);
}

static int kp_suspend(struct device *dev)
{
	struct kp_bound *bound = dev_get_drvdata(dev);

	kp_rs_suspend(kp_node_driver(bound->device.node));
	return 0;
}

static int kp_resume(struct device *dev)
{
	struct kp_bound *bound = dev_get_drvdata(dev);

	kp_rs_resume(kp_node_driver(bound->device.node));
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(kp_pm, kp_suspend, kp_resume);

static const struct pci_device_id kp_ids[] = { KP_DEVICES, {} };
MODULE_DEVICE_TABLE(pci, kp_ids);

static struct pci_driver kp_driver = {
	.name = KBUILD_MODNAME,
	.id_table = kp_ids,
	.probe = kp_probe,
	.remove = kp_remove,
	.shutdown = kp_shutdown,
	.driver.pm = pm_sleep_ptr(&kp_pm),
};

int kp_start(void)
{
	return pci_register_driver(&kp_driver);
}

void kp_stop(void)
{
	struct kp_bound *bound, *after;

	pci_unregister_driver(&kp_driver);
	/* Alone here: nothing is probed or removed any more. */
	list_for_each_entry_safe(bound, after, &kp_leaked, leaked) {
		struct pci_dev *pci = bound->device.pci;

		kp_node_free(bound->device.node, false);
		kp_irq_abandon(&bound->device);
		kp_give_back(bound);
		pci_dev_put(pci);
	}
}

#endif
