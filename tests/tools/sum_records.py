#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums the flow records that rheod wrote as JSON lines.

Takes each record (flow.id, flow.sequence) once, whatever the number of files and copies, and adds up the
deltas of both directions. With --counters it also reads rheod's exit summary ("rheod: counter NAME NUMBER"
lines). Prints one JSON object; exits 1 when a line is not a record.

    tests/tools/sum_records.py [--counters STDERR_FILE] FILE...
"""
import argparse
import json
import re
import sys

DIRECTIONS = ("flow.", "flow.reverse.")
COUNTER = re.compile(r"^rheod: counter (\S+) (\d+)\n", re.M)


class Sums:
    """Packets and octets of records, each counted once."""

    def __init__(self):
        self.packets = self.l3_bytes = self.l2_bytes = 0
        self.records = self.duplicates = 0
        self.groups = {}  # "udp ipv4 eth0" -> [packets, l3, l2]
        self.last_record = {}  # flow.id -> record with the highest sequence
        self._identities = set()

    @property
    def flows(self):
        return len(self.last_record)

    def add(self, record):
        identity = (record["flow.id"], record["flow.sequence"])
        if identity in self._identities:
            self.duplicates += 1
            return
        self._identities.add(identity)
        self.records += 1
        counts = [
            sum(int(record.get(f"{direction}{name}.delta", 0)) for direction in DIRECTIONS)
            for name in ("packets", "bytes", "layer2.bytes")
        ]
        self.packets += counts[0]
        self.l3_bytes += counts[1]
        self.l2_bytes += counts[2]
        group = " ".join(str(record.get(key, "")) for key in
                         ("network.transport", "network.type", "network.interface.name"))
        self.groups[group] = [a + b for a, b in zip(self.groups.get(group, [0, 0, 0]), counts)]
        last = self.last_record.get(identity[0])
        if last is None or int(last["flow.sequence"]) < int(record["flow.sequence"]):
            self.last_record[identity[0]] = record

    def missing_sequences(self):
        """How many records are absent below some flow's highest sequence number."""
        return sum(int(last["flow.sequence"]) + 1 for last in self.last_record.values()) - self.records

    def totals_differ(self):
        """How many flows' last record has totals unlike the sum of all deltas, taken together."""
        totals = sum(int(last.get(f"{direction}packets.total", 0))
                     for last in self.last_record.values() for direction in DIRECTIONS)
        return totals - self.packets

    def as_dict(self):
        return {
            "packets": self.packets, "l3_bytes": self.l3_bytes, "l2_bytes": self.l2_bytes,
            "flows": self.flows, "records": self.records, "duplicates": self.duplicates,
            "missing_sequences": self.missing_sequences(), "groups": self.groups,
        }


def sum_files(paths, growing=False):
    """Raises ValueError, with file and line, at what is not a record. Of files that are being written (growing), a last
    line without its end is no record yet: a reader may see the first half of a write."""
    sums = Sums()
    for path in paths:
        with open(path, encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if growing and not line.endswith("\n"):
                    break
                try:
                    sums.add(json.loads(line))
                except (ValueError, KeyError) as error:
                    raise ValueError(f"{path}:{number}: not a flow record: {error!r}: {line[:120]!r}") from error
    return sums


def read_counters(path):
    """The last value of each counter that rheod printed into the file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return counters_of(file.read())


def counters_of(text):
    """A last line without its end is no counter yet: a reader may see the first half of a write."""
    return {name: int(value) for name, value in COUNTER.findall(text)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counters", metavar="FILE", help="what rheod wrote to standard error")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    try:
        report = sum_files(arguments.files).as_dict()
        if arguments.counters:
            report["counters"] = read_counters(arguments.counters)
    except (OSError, ValueError) as error:
        sys.exit(f"sum_records: {error}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
