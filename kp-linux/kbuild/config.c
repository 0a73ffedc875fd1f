// SPDX-License-Identifier: MIT OR Apache-2.0
/* A device's configuration space, and whether the device may be bus master. */
#include <linux/mutex.h>
#include <linux/pci.h>
#include "kp.h"

#ifdef KP_CALLS_kp_c_bus_master
/* Messages are transfers too. */
bool kp_c_bus_master(struct kp_device *device, bool on)
{
	bool is_on;

	mutex_lock(&device->command);
	device->master = on;
	is_on = on || device->messages;
	if (is_on)
		pci_set_master(device->pci);
	else
		pci_clear_master(device->pci);
	mutex_unlock(&device->command);
	return is_on;
}
#endif

#ifdef KP_CALLS_kp_c_config_read
u32 kp_c_config_read(struct kp_device *device, u32 offset, u32 width)
{
	u32 dword = ~0u;
	u16 word;
	u8 byte;

	if (!device)
		return dword;
	switch (width) {
	case 1:
		return pci_read_config_byte(device->pci, offset, &byte) ? dword : byte;
	case 2:
		return pci_read_config_word(device->pci, offset, &word) ? dword : word;
	default:
		pci_read_config_dword(device->pci, offset, &dword);
		return dword;
	}
}
#endif

#ifdef KP_CALLS_kp_c_config_write
void kp_c_config_write(struct kp_device *device, u32 offset, u32 width, u32 value)
{
	if (!device)
		return;
	switch (width) {
	case 1:
		pci_write_config_byte(device->pci, offset, value);
		break;
	case 2:
		pci_write_config_word(device->pci, offset, value);
		break;
	default:
		pci_write_config_dword(device->pci, offset, value);
	}
}
#endif
