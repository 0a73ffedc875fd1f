#!/bin/sh
# In a guest with a Debian root and udev: what `kp` does to a machine. `cargo kp test --long` compares with guest.txt.
cd /root || exit 1
exec 2>&1
say() {
	echo "\$ $*"
	"$@"
	echo "exit $?"
}
mkdir -p /run/udev
mount -t securityfs securityfs /sys/kernel/security
# The package of a kernel brings these.
mkdir -p /lib/modules/"$(uname -r)"
touch /lib/modules/"$(uname -r)"/modules.order /lib/modules/"$(uname -r)"/modules.builtin
/lib/systemd/systemd-udevd --daemon
udevadm trigger
udevadm settle

say kp install kp-edu.ko --group kp
say kp status edu
say setpriv --reuid=nobody --regid=nogroup --clear-groups kp schema edu
ls -l /dev/kp/edu.0 | cut -d' ' -f1-4
readlink /dev/kp/by-path/pci-0000:00:01.0
echo "another name for the same device, and the three reasons to have none"
say kp install kp-other.ko
say kp unload edu
say kp load other --take 0000:00:01.0
say kp unload other
echo "one that was another driver's by name"
echo kp_edu > /sys/bus/pci/devices/0000:00:01.0/driver_override
say kp load edu
say kp load other --take 0000:00:01.0
say kp uninstall other --dry-run
say kp uninstall other
ls /run/kp
say kp unload edu
cat /sys/bus/pci/devices/0000:00:01.0/driver_override
echo 1 > /sys/bus/pci/devices/0000:00:01.0/remove
say kp load edu
echo 1 > /sys/bus/pci/rescan
udevadm settle
say kp list
sleep 1000 < /dev/kp/edu.0 &
say kp unload edu
kill $!
wait
say kp reload edu
say kp uninstall edu
find /lib/modules /etc/udev /var/lib \( -name '*edu*' -o -name '*other*' -o -name kp \)
grep '^kp:' /etc/group
echo "no group, and no udevd"
say kp install kp-edu.ko
say setpriv --reuid=nobody --regid=nogroup --clear-groups kp schema edu
say kp uninstall edu
udevadm control --exit
while pidof systemd-udevd > /dev/null; do sleep 0.1; done
# Of a daemon that nobody listens for any more.
rm -f /run/udev/control
say kp install kp-edu.ko --group kp
say kp status edu
chgrp kp /dev/kp/edu.0 && chmod 660 /dev/kp/edu.0
say setpriv --reuid=nobody --regid=kp --clear-groups kp status edu
say kp uninstall edu
echo "two packages of one plugin, under two names"
dpkg -i --force-depends echo.deb other.deb > /dev/null 2>&1 || echo "dpkg: exit $?"
say kp load echo
say kp load second
ls /dev/kp
say kp list
say kp unload echo
say kp unload second
dpkg --purge kp-echo-modules-"$(uname -r)" kp-second-modules-"$(uname -r)" > /dev/null 2>&1 || echo "dpkg: exit $?"
find / -xdev \( -name '*kp-echo*' -o -name '*kp-second*' \)
say kp list
