// SPDX-License-Identifier: MIT OR Apache-2.0
/* The PCI driver of a plugin that drives devices. */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include "kp.h"
#include "kp_plugin.h"

#ifdef KP_DEVICES

struct kp_bound {
	struct kp_device device;
};

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
	pci_intx(pci, 0); /* enabling has turned it on, and nobody listens yet */
	ret = pci_request_regions(pci, KBUILD_MODNAME);
	if (ret)
		goto disable;
	for (i = 0; i < 6; i++)
		if (pci_resource_flags(pci, i) & IORESOURCE_MEM)
			bars[i] = pci_resource_len(pci, i);
	ret = kp_rs_bind(&bound->device, bars, address, &driver);
	if (ret)
		goto regions;
	node = kp_node_new(driver, &pci->dev, address);
	if (IS_ERR(node)) {
		ret = PTR_ERR(node);
		goto unbind;
	}
	bound->device.node = node;
	pci_set_drvdata(pci, bound);
	return 0;

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

	if (!kp_node_free(bound->device.node, pci_device_is_present(pci)))
		return;
	kp_flush_late(); /* the last mapping goes before the regions do */
	pci_clear_master(pci);
	pci_release_regions(pci);
	pci_disable_device(pci);
	kfree(bound);
}

/* Power-off and kexec: as a removal, but the record stays for those who still hold a file. */
static void kp_shutdown(struct pci_dev *pci)
{
	struct kp_bound *bound = pci_get_drvdata(pci);

	kp_node_hide(bound->device.node);
	kp_rs_remove(kp_node_driver(bound->device.node), true);
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
	pci_unregister_driver(&kp_driver);
}

#endif
