#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replays every golden capture and judges what rheod writes, twice: line by line against expected/NAME.jsonl, and its
sums against those that the maker of the captures kept. Then damages captures: every complete packet must be metered.

    run_golden.py RHEOD [--update] [NAME...]

--update writes expected/ anew: read the difference before it is committed."""

import argparse
import json
import pathlib
import struct
import sys
import tempfile

import make_captures
from replay import Replayed, difference

EXPECTED = pathlib.Path(__file__).parent / "expected"


def field_difference(number, expected, found):
    """What changed in one line, field by field."""
    if expected is None or found is None:
        what, line = ("missing", expected) if found is None else ("not expected", found)
        return [f"  line {number} {what}: {line}"]
    before, after = json.loads(expected), json.loads(found)
    changes = [f"  line {number}: {name}: expected {before.get(name)!r}, found {after.get(name)!r}"
               for name in {**before, **after} if before.get(name) != after.get(name)]
    return changes or [f"  line {number}: the same fields, written differently:\n    {expected}\n    {found}"]


def compare_lines(name, found):
    path = EXPECTED / f"{name}.jsonl"
    if not path.exists():
        return [f"  {path} does not exist: --update writes it"]
    expected = path.read_text().splitlines()
    complaints = []
    for i in range(max(len(expected), len(found))):
        pair = [lines[i] if i < len(lines) else None for lines in (expected, found)]
        if pair[0] != pair[1]:
            complaints += field_difference(i + 1, *pair)
    return complaints


def check_invariants(replayed):
    """What is true of any replay's records, whatever the capture."""
    complaints = []
    flows = {}
    for record in replayed.records:
        flows.setdefault(record["flow.id"], []).append(record)
        if not record["flow.start"] <= record["start"] <= record["end"]:
            complaints.append(f"  flow {record['flow.id']}: starts {record['start']} after its end {record['end']}")
    for flow, records in flows.items():
        if [record["flow.sequence"] for record in records] != list(range(len(records))):
            complaints.append(f"  flow {flow}: sequence numbers are not 0, 1, 2, …")
        for before, after in zip(records, records[1:]):
            if after["start"] < before["end"]:
                complaints.append(f"  flow {flow}: windows overlap: {before['end']} and {after['start']}")
        for field in ("packets", "bytes", "layer2.bytes", "reverse.packets", "reverse.bytes", "reverse.layer2.bytes"):
            if sum(record[f"flow.{field}.delta"] for record in records) != records[-1][f"flow.{field}.total"]:
                complaints.append(f"  flow {flow}: the sum of flow.{field}.delta is not the last total")
    return complaints


def check_counters(capture, replayed):
    """seen = records + drops, and each drop under its reason."""
    dropped = capture.dropped
    expected = {f"datapath.{reason}.{unit}": dropped.get(reason, (0, 0, 0))[at]
                for reason in ("not_ip", "truncated", "malformed", "too_deep") for unit, at in (("packets", 0), ("bytes", 2))}
    everything = list(capture.totals.values()) + list(dropped.values())
    expected["datapath.seen_packets"] = sum(counts[0] for counts in everything)
    expected["datapath.seen_bytes"] = sum(counts[2] for counts in everything)
    return [f"  counter {name}: expected {value}, found {replayed.counters.get(name)}"
            for name, value in expected.items() if replayed.counters.get(name) != value]


def judge(capture, replayed):
    complaints = [] if replayed.status == 0 else [f"  exit status {replayed.status}: {replayed.complaint.strip()}"]
    complaints += difference(capture.totals, replayed.totals())
    complaints += check_invariants(replayed)
    return complaints + (check_counters(capture, replayed) if replayed.counters else [])


def damage_cases(directory, captures):
    """(file, offset of the damage, packets before it) of files that are cut or spoilt, one packet after the other."""
    for name in ("protocols", "interfaces"):
        capture = captures[name]
        begin = len(capture.header())
        packets = 0
        for number, record in enumerate(capture.records):
            whole = capture.header() + b"".join(capture.records[:number])
            # The length field of a packet, and that of a block.
            hostile = record[:8] + struct.pack("<I", 0xFFFFFFF0) + record[12:] if name == "protocols" else (
                record[:-4] + b"\x01\x02\x03\x04")
            for kind, tail in (("cut", record[: len(record) // 2]), ("spoilt", hostile)):
                path = directory / f"{name}_{kind}_{number}.{capture.style}"
                path.write_bytes(whole + tail)
                yield path, begin, packets
            begin += len(record)
            packets += number in capture.packet_numbers


def check_damage(rheod, directory, captures):
    """Every complete packet is metered, then one sentence names file and offset."""
    complaints = []
    cases = 0
    for path, offset, packets in damage_cases(directory, captures):
        cases += 1
        replayed = Replayed(rheod, path)
        sentence = f"{path}: damaged at byte {offset}: "
        if replayed.status == 0 or sentence not in replayed.complaint:
            complaints.append(f"  {path.name}: expected an error with {sentence!r}, found status {replayed.status} and "
                              f"{replayed.complaint.strip()!r}")
        metered = sum(counts[0] for counts in replayed.totals().values())
        if metered != packets:
            complaints.append(f"  {path.name}: {packets} complete packets, {metered} metered")
    for name, content, says in (("gzip.pcap", b"\x1f\x8b\x08\0" + bytes(20), "compressed with gzip"),
                                ("text.pcap", b"no capture\n", "no pcap or pcapng capture")):
        cases += 1
        (directory / name).write_bytes(content)
        replayed = Replayed(rheod, directory / name)
        if replayed.status == 0 or says not in replayed.complaint or replayed.lines:
            complaints.append(f"  {name}: expected an error with {says!r}, found status {replayed.status} and "
                              f"{replayed.complaint.strip()!r}")
    print(f"damage: {cases} files")
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rheod")
    parser.add_argument("names", nargs="*", help="only these captures")
    parser.add_argument("--update", action="store_true", help="write expected/ anew")
    arguments = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory(prefix="rheo-golden-") as folder:
        directory = pathlib.Path(folder)
        captures = {capture.name: capture for capture in make_captures.make_all(directory)}
        for unknown in set(arguments.names) - set(captures):
            sys.exit(f"run_golden: no capture is named {unknown}")
        for name in arguments.names or captures:
            replayed = Replayed(arguments.rheod, directory / captures[name].file_name())
            complaints = judge(captures[name], replayed)
            if arguments.update:
                EXPECTED.mkdir(exist_ok=True)
                (EXPECTED / f"{name}.jsonl").write_text("".join(line + "\n" for line in replayed.lines))
            else:
                complaints += compare_lines(name, replayed.lines)
            unjudged = "" if replayed.counters else " (drops not judged: this rheod prints no counters after a replay)"
            print(f"{name}: {len(replayed.records)} records: {'FAILED' if complaints else 'ok'}{unjudged}")
            print("\n".join(complaints), end="\n" if complaints else "")
            failed += [name] if complaints else []
        if not arguments.names:
            complaints = check_damage(arguments.rheod, directory, captures)
            print("\n".join(complaints), end="\n" if complaints else "")
            failed += ["damage"] if complaints else []
            stray = {path.stem for path in EXPECTED.glob("*.jsonl")} - set(captures)
            failed += [f"expected/{name}.jsonl has no capture" for name in sorted(stray)]
    if failed:
        sys.exit(f"run_golden: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
