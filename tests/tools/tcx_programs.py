#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "INTERFACE DIRECTION" for each program at a TCX hook of this network namespace, in their order, by
bpf(BPF_PROG_QUERY): the bpftool of Debian 12 does not know TCX. With --ids, the program's number behind it."""
import ctypes
import os
import platform
import socket
import struct
import sys

PROG_QUERY = 16
ATTACH_TYPES = {"ingress": 46, "egress": 47}
SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MOST = 64


def programs(ifindex, direction):
    libc = ctypes.CDLL(None, use_errno=True)
    ids = (ctypes.c_uint32 * MOST)()
    query = ctypes.create_string_buffer(struct.pack("<IIIIQII4Q", ifindex, ATTACH_TYPES[direction], 0, 0,
                                                    ctypes.addressof(ids), MOST, 0, 0, 0, 0, 0))
    if libc.syscall(SYSTEM_CALL, PROG_QUERY, query, len(query) - 1) != 0:
        if ctypes.get_errno() in (2, 19):  # ENOENT: no program; ENODEV: gone meanwhile
            return []
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return list(ids[:struct.unpack_from("<I", query, 24)[0]])


def main():
    for ifindex, name in socket.if_nameindex():
        for direction in ATTACH_TYPES:
            for number in programs(ifindex, direction):
                print(name, direction, *([number] if "--ids" in sys.argv else []))


if __name__ == "__main__":
    main()
