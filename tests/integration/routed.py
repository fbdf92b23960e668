# SPDX-License-Identifier: Apache-2.0
"""Three network namespaces in a row, of which the one in the middle forwards."""


def routed(rig):
    """left (10.9.1.2 at a) - west, host, east - right (10.9.2.2 at b); the host has 1 at the end of its addresses."""
    left, host, right = (rig.namespace(name) for name in ("left", "host", "right"))
    rig.veth(left, "a", host, "west")
    rig.veth(host, "east", right, "b")
    host.set_kernel("ipv4/ip_forward", 1)
    for number, (namespace, link, inner) in enumerate(((left, "a", "west"), (right, "b", "east")), 1):
        namespace.run(["ip", "address", "add", f"10.9.{number}.2/24", "dev", link])
        host.run(["ip", "address", "add", f"10.9.{number}.1/24", "dev", inner])
        namespace.run(["ip", "route", "add", "default", "via", f"10.9.{number}.1"])
    return left, host, right
