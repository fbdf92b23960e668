#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first process: mounts, modules, /payload/script.sh, and what that left in /out goes to the disk.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /out
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
while read -r module; do
	insmod "/modules/$module.ko" || echo "insmod $module: exit $?"
done </modules/order
cut -d ' ' -f 1 /proc/uptime >/out/booted
uname -r >/out/release
sh /payload/script.sh >/out/script.log 2>&1
echo $? >/out/status
cut -d ' ' -f 1 /proc/uptime >/out/ended
dmesg >/out/dmesg
tar -C /out -cf /dev/vda .
sync
poweroff -f
