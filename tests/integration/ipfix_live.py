# SPDX-License-Identifier: Apache-2.0
"""A live rheod that meters flows of every kind and tells six collectors of them at once: both kinds of biflow, each
in every profile. What a collector's test compares with the JSON records of the same run."""
import itertools
import json
import time

import every_record
from collectors import need
from ipfix_expected import BIFLOWS, PROFILES, by_key, expect_every_kind, expect_same, expect_told, expected_records
from rig import expect, expect_equal, losses

FIRST_PORT = 4739  # of the variants, in their order
VARIANTS = tuple(itertools.product(BIFLOWS, PROFILES))
FLOW_SETTINGS = {"max_record_interval": "800ms", "tcp_fin_timeout": "100ms", "tcp_rst_timeout": "100ms",
                 "generic_timeout": "300ms"}  # ends by FIN, by RST, active, idle and forced


def name_of(variant):
    return "-".join(variant)


def meter_every_kind(rig, case, near, far, endpoints):
    """endpoints: variant -> where its exporter sends. The JSON records, when all have been sent."""
    exporters = {f"export.ipfix.{name_of((biflow, profile))}":
                 {"endpoint": endpoint, "biflow": biflow, "elements": profile, "max_batch_interval": "50ms"}
                 for (biflow, profile), endpoint in endpoints.items()}
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, flow=FLOW_SETTINGS,
                      datapath={"drain_interval": "50ms"}, **exporters)
    rheod.start()
    flows = every_record.lasting_flows()
    sent = every_record.send_flows(near, far, flows + list(every_record.closing_flows()))
    time.sleep(1)  # longer than max_record_interval: what goes on has a second record
    again = every_record.send_flows(near, far, flows)
    counters = rheod.stop()
    expect_equal(losses(counters)["packets"], 0, "packets lost before the exporters")
    for variant in endpoints:
        expect_equal(counters[f"lane.ipfix.{name_of(variant)}.records_lost"], 0, f"records lost by {name_of(variant)}")
    expect_equal(rheod.sums().packets, sent["packets"] + again["packets"], "packets in the JSON records")
    records = [json.loads(line) for line in rheod.records.read_text().splitlines()]
    expect_every_kind(records)
    return records


class Comparison:
    """The run of one collector's test, then a case for each variant."""

    def __init__(self, rig, *programs):
        self._rig = rig
        self._programs = programs
        self._json = []
        self._read = {}  # variant -> function that gives the collector's records

    def need_programs(self):
        need(*self._programs)

    def remember(self, json_records, read):
        self._json, self._read = json_records, read

    def cases(self, shown, label, exact=False):
        """shown(variant): the forms of elements that the collector shows; exact: nothing else, not even as 0."""
        for variant in VARIANTS:
            with self._rig.case(f"{label}, {name_of(variant)}"):
                self.need_programs()
                expect(variant in self._read, "there is nothing to compare")
                wanted = expected_records(self._json, *variant)
                told = expect_same(wanted, by_key(self._read[variant]()), shown(variant), exact)
                expect_told(shown(variant), told)
