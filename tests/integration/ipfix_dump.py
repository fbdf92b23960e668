#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every element of every profile, over TCP and in a file, as ipfixDump of libfixbuf reads it and as the JSON record
of the same flow has it. ipfixDump knows rheo's own elements by the type information (RFC 5610) that rheod sends."""
import re
import sys

from collectors import TcpSink
from ipfix_expected import PEN, elements, forms, milliseconds, text_of_address
from ipfix_live import FIRST_PORT, VARIANTS, Comparison, meter_every_kind, name_of
from rig import Rig, expect, expect_equal, run

REVERSE_PEN = 29305
LINE = re.compile(r"^\t\((?:(\d+)/)?(\d+)\)( \(S\))? *(\w+) : (?:\(len: \d+\) )?(.*)$", re.M)


def form_of(pen, number, name):
    """(element, is it the reverse form) of what ipfixDump calls so."""
    reverse = pen == REVERSE_PEN or (pen == PEN and number & 0x4000)
    plain = name[7].lower() + name[8:] if reverse else name
    expect(plain in elements(), f"ipfixDump shows ({pen}/{number}) {name}, which rheo-ipfix(5) does not have")
    element = elements()[plain]
    expect_equal((pen, number), ((PEN, element.number | (0x4000 if reverse else 0)) if element.own else
                                 (REVERSE_PEN if reverse else 0, element.number)), f"enterprise and number of {name}")
    return plain, bool(reverse)


def value_of(name, text):
    if name.endswith("MacAddress"):
        return text.lower()
    if name.endswith("Address"):
        return text_of_address(text)
    if name.endswith("Milliseconds"):
        return milliseconds(text.replace(" ", "T"))
    if name == "mplsTopLabelStackSection":  # printed as an integer of this host's byte order
        return int.from_bytes(int(text).to_bytes(3, sys.byteorder), "big")
    return text if name == "rheoCommunityId" else int(text)


def dumped(file):
    """The flow records of a file: those of options have a scope."""
    records = []
    for text in run(["ipfixDump", "--rfc5610", "-d", "-i", file], timeout=60).split("--- data record ")[1:]:
        lines = LINE.findall(text)
        if any(scope for _, _, scope, _, _ in lines):
            continue
        fields = {}
        for pen, number, _, name, value in lines:
            form = form_of(int(pen or 0), int(number), name)
            fields[form] = value_of(form[0], value)
        expect_equal(len(fields), int(re.search(r"count: (\d+)", text)[1]), "elements of a record that could be read")
        records.append(fields)
    return records


def main():
    rig = Rig()
    for scheme in ("tcp", "file"):
        comparison = Comparison(rig, "ipfixDump")
        with rig.case(f"{scheme}, flows of every kind") as case:
            comparison.need_programs()
            near, far = rig.pair()
            folder = rig.case_folder(case)
            files = {variant: folder / f"{name_of(variant)}.ipfix" for variant in VARIANTS}
            folder.mkdir()
            ports = {variant: FIRST_PORT + number for number, variant in enumerate(VARIANTS)}
            sinks = [TcpSink(near, files[variant], ports[variant]) for variant in VARIANTS if scheme == "tcp"]
            endpoints = {variant: f"tcp://127.0.0.1:{ports[variant]}" if sinks else f"file:{files[variant]}"
                         for variant in VARIANTS}
            records = meter_every_kind(rig, f"{case} rheod", near, far, endpoints)
            for sink in sinks:
                sink.wait()
            comparison.remember(records, {variant: lambda file=file: dumped(file) for variant, file in files.items()})
        comparison.cases(lambda variant: forms(variant[1], variant[0]), scheme, exact=True)
    rig.end()


if __name__ == "__main__":
    main()
