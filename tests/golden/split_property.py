#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A capture cut in two at any packet, both halves replayed, adds up to what the whole does, by 5-tuple and direction.

    split_property.py RHEOD [NAME...]

Fragments are the exception that proves the rule: a later fragment whose first is in the other half is counted under
ports 0/0, so captures of fragments are compared by addresses and protocol alone."""

import pathlib
import sys
import tempfile

import make_captures
from replay import Replayed, difference

BY_ADDRESS = ("fragments",)
STEPS = 12  # cuts, about, of one capture; a shorter one is cut at every packet


def add(totals, more):
    for key, counts in more.items():
        totals[key] = tuple(a + b for a, b in zip(totals.get(key, (0, 0, 0)), counts))
    return totals


def without_ports(totals):
    result = {}
    for (source, _, destination, _, protocol), counts in totals.items():
        add(result, {(source, destination, protocol): counts})
    return result


def halves(capture, cut):
    """The file's bytes before and after the packet numbered `cut`; the second half repeats what is no packet."""
    packets = capture.packet_numbers
    at = packets[cut]
    described = b"".join(record for i, record in enumerate(capture.records[:at]) if i not in packets)
    first = capture.header() + b"".join(capture.records[:at])
    return first, capture.header() + described + b"".join(capture.records[at:])


def check(rheod, directory, capture):
    whole = Replayed(rheod, directory / capture.file_name()).totals()
    simplify = without_ports if capture.name in BY_ADDRESS else dict
    packets = len(capture.packet_numbers)
    cuts = range(0, packets, max(1, packets // STEPS))
    for cut in cuts:
        sum_of_halves = {}
        for number, content in enumerate(halves(capture, cut)):
            path = directory / f"half{number}.{capture.style}"
            path.write_bytes(content)
            replayed = Replayed(rheod, path)
            if replayed.status != 0:
                return [f"  cut at packet {cut}, half {number}: {replayed.complaint.strip()}"]
            add(sum_of_halves, replayed.totals())
        complaints = difference(simplify(whole), simplify(sum_of_halves))
        if complaints:
            return [f"  cut at packet {cut}:"] + complaints
    print(f"{capture.name}: {len(cuts)} cuts ok")
    return []


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = []
    with tempfile.TemporaryDirectory(prefix="rheo-split-") as folder:
        directory = pathlib.Path(folder)
        for capture in make_captures.make_all(directory):
            if sys.argv[2:] and capture.name not in sys.argv[2:]:
                continue
            complaints = check(sys.argv[1], directory, capture)
            if complaints:
                print(f"{capture.name}: FAILED\n" + "\n".join(complaints))
                failed.append(capture.name)
    if failed:
        sys.exit(f"split_property: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
