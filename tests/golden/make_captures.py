#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_captures.py DIR: writes the golden captures and, beside each, NAME.totals.json with what its packets
add up to. Always the same bytes. Each capture is a function in captures_*.py that says of every packet which
flow it belongs to."""

import json
import pathlib
import sys

import captures_flows  # noqa: F401 - registers its captures
import captures_headers  # noqa: F401
import captures_links  # noqa: F401
from packets import CAPTURES, Capture


def totals_of(c):
    names = ("source", "source_port", "destination", "destination_port", "protocol")
    counts = ("packets", "l3_bytes", "l2_bytes")
    flows = [dict(zip(names, key)) | dict(zip(counts, value)) for key, value in sorted(c.totals.items())]
    dropped = {reason: {"packets": value[0], "bytes": value[2]} for reason, value in sorted(c.dropped.items())}
    return {"flows": flows, "dropped": dropped}


def make_all(directory):
    """Writes everything; returns the captures."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for fill, options in CAPTURES:
        c = Capture(fill.__name__, **options)
        fill(c)
        (directory / c.file_name()).write_bytes(c.contents())
        (directory / f"{c.name}.totals.json").write_text(json.dumps(totals_of(c), indent=1) + "\n")
        made.append(c)
    return made


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_captures.py DIR")
    for made_capture in make_all(sys.argv[1]):
        print(made_capture.file_name(), len(made_capture.records))
