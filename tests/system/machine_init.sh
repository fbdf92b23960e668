#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a guest whose root is a disk: modules, what the disk does not have, and then its systemd.
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev 2>/dev/null
while read -r module; do
	insmod "/modules/$module.ko" || echo "insmod $module: exit $?"
done </modules/order
mkdir -p /root
mount -t ext4 /dev/vda /root
tar -C /root -xf /payload/more.tar
umount /dev
umount /proc
exec switch_root /root /sbin/init
