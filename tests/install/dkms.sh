#!/bin/sh
# In a Debian root with DKMS, the headers of two kernels and no Rust: a package is installed, builds, and leaves nothing when it is purged.
# $1: the package's file; $2: the plugin.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
exec 2>&1
if command -v rustc cargo; then
	echo "there is a Rust"
	exit 1
fi
files() {
	find / -xdev \( -path /proc -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg -o -path '/var/cache/*' \) -prune -o -type f -print | sort
}
dpkg --purge "kp-$2-dkms" > /dev/null || exit 1
for kernel in /lib/modules/*; do
	depmod "${kernel##*/}"
done
files > /tmp/before
dpkg -i "$1" || exit 1
dkms status
if [ "$3" = keep ]; then
	exit 0
fi
dpkg --purge "kp-$2-dkms" || exit 1
files > /tmp/after
diff /tmp/before /tmp/after && echo "as before"
