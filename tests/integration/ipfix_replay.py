#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every element of the profile full, for every flow of the golden captures (link types without MACs, fragments, stamps
that step back …), as ipfixDump reads it and as the JSON record has it. rheod --replay writes both at once. Some
elements are 0 in all of them; flows of a live rheod have other values."""
import json
import sys

from collectors import need
from ipfix_dump import dumped
from ipfix_expected import BIFLOWS, by_key, expect_same, expected_records, forms, identity_of
from rig import TOP, Rig, expect

sys.path.insert(0, str(TOP / "tests" / "golden"))
import make_captures  # noqa: E402


def replayed(namespace, folder, capture):
    """What rheod says of a capture: its JSON records, and by kind of biflow what ipfixDump reads."""
    out = folder / capture.stem
    out.mkdir()
    config = out / "rheo.toml"
    config.write_text(f'[export.json.out]\npath = "{out}/records.json"\nmax_batch_interval = "1ms"\n' + "".join(
        f'[export.ipfix.{biflow}]\nendpoint = "file:{out}/{biflow}.ipfix"\nbiflow = "{biflow}"\nelements = "full"\n'
        'max_batch_interval = "1ms"\n' for biflow in BIFLOWS))
    namespace.run([Rig.programs / "rheod", "--config", config, "--replay", capture])
    records = [json.loads(line) for line in (out / "records.json").read_text().splitlines()]
    return records, {biflow: dumped(out / f"{biflow}.ipfix") for biflow in BIFLOWS}


def main():
    rig = Rig()
    records, read = [], {biflow: [] for biflow in BIFLOWS}
    with rig.case("golden captures, replayed") as case:
        need("ipfixDump")
        near, folder = rig.namespace("near"), rig.case_folder(case)
        captures = folder / "captures"
        for capture in make_captures.make_all(captures):
            told, found = replayed(near, folder, captures / capture.file_name())
            records += told
            for biflow in BIFLOWS:
                read[biflow] += found[biflow]
    for biflow in BIFLOWS:
        with rig.case(f"golden captures, {biflow}"):
            need("ipfixDump")
            expect(records, "there is nothing to compare")
            wanted = expected_records(records, biflow, "full", identity_of)
            expect_same(wanted, by_key(read[biflow], identity_of), forms("full", biflow), exact=True)
    rig.end()


if __name__ == "__main__":
    main()
