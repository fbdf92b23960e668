# SPDX-License-Identifier: Apache-2.0
"""Runs `rheod --replay` and adds up what it says, for the golden tests."""

import json
import pathlib
import re
import subprocess

PROTOCOLS = {"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
             "icmpv6": 58, "ospf": 89, "sctp": 132, "udplite": 136}
COUNTER = re.compile(r"^rheod: counter (\S+) (\d+)$", re.MULTILINE)
# The upper half of a flow's id is drawn anew for every flow table.
FLOW_ID = re.compile(r'("flow\.id":")[0-9a-f]{8}')


class Replayed:
    """One run: its exit status, the lines it wrote, and what it said on standard error."""

    def __init__(self, rheod, capture):
        # A configuration of its own, so that the host's is not read; only the default's batching is too slow for tests.
        config = pathlib.Path(capture).parent / "replay.toml"
        config.write_text('[export.json.out]\npath = "-"\nmax_batch_interval = "1ms"\n')
        done = subprocess.run([rheod, "--replay", str(capture), "--config", str(config)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.status = done.returncode
        self.complaint = done.stderr.decode(errors="replace")
        self.lines = [FLOW_ID.sub(r"\g<1>00000000", line) for line in done.stdout.decode().splitlines()]
        self.records = [json.loads(line) for line in self.lines]
        self.counters = {name: int(value) for name, value in COUNTER.findall(self.complaint)}

    def totals(self):
        """(source, port, destination, port, protocol) of each direction that has packets -> packets, l3, l2 octets."""
        totals = {}
        for record in self.records:
            for prefix, here, there in (("flow.", "source", "destination"), ("flow.reverse.", "destination", "source")):
                counts = [record[f"{prefix}{name}.delta"] for name in ("packets", "bytes", "layer2.bytes")]
                if not counts[0]:
                    continue
                transport = record["network.transport"]
                protocol = PROTOCOLS[transport] if transport in PROTOCOLS else int(transport)
                key = (record[f"{here}.address"], record.get(f"{here}.port", 0), record[f"{there}.address"],
                       record.get(f"{there}.port", 0), protocol)
                totals[key] = tuple(a + b for a, b in zip(totals.get(key, (0, 0, 0)), counts))
        return totals


def difference(expected, found):
    """Lines for people: what is expected and missing, and what is there instead."""
    lines = [f"  expected {key}: packets, l3, l2 = {expected[key]}, found {found.get(key)}"
             for key in expected if expected[key] != found.get(key)]
    return lines + [f"  not expected {key}: {found[key]}" for key in found if key not in expected]
