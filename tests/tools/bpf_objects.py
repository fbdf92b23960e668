# SPDX-License-Identifier: Apache-2.0
"""BPF programs, maps and links by their numbers: which a process holds, and whether they are still there."""
import ctypes
import os
import platform
import re
import struct

SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
GET_FD_BY_ID = {"prog": 13, "map": 14, "link": 30}


def held_by(pid):
    """{(kind, number)} of the process's descriptors, and of the programs of its links."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as info:
                text = info.read()
        except FileNotFoundError:
            continue
        found.update((kind, int(number)) for kind, number in re.findall(r"^(prog|map|link)_id:\s*(\d+)", text, re.M))
    return found


def exists(kind, number):
    libc = ctypes.CDLL(None, use_errno=True)
    request = ctypes.create_string_buffer(struct.pack("<III", number, 0, 0))
    fd = libc.syscall(SYSTEM_CALL, GET_FD_BY_ID[kind], request, len(request) - 1)
    if fd >= 0:
        os.close(fd)
        return True
    if ctypes.get_errno() == 2:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
