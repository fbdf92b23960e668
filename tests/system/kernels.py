#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real rheod on Debian's kernels of 5.10, 6.1, 6.12 and 7, each booted under QEMU's software emulation.

On each: the hook is the one that the kernel has; every packet of a veth pair is in a record, to the octet, and
also when rheod is killed in between, or dies while it takes over and is then detached by hand; links without a
link-layer header are metered by their inner packets; IPFIX over SCTP has everything; what passes a VLAN on a bond is
reported once, or once for each with deduplicate = "none"; and both owners of connections and datagrams on loopback are
told, also of those that are older than rheod, and no wrong one, as far as docs/kernels.md says that the kernel allows it;
and round-trip times and retransmissions over a link of known delay and loss are what ss says.
For each case it prints one line "passed: kernels: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when
a case failed. Kernels are downloaded once, to build/cache/kernels.

    tests/system/kernels.py [--build DIR] [--short] [--only KERNEL] [--cpus N]
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "integration"))
from rig import arrived, expect, expect_conserved, expect_equal, run, sent_by  # noqa: E402
import sum_records  # noqa: E402
from tcp_metrics import read_ss  # noqa: E402

import debian_kernels  # noqa: E402
import guest  # noqa: E402
from owners_ledger import FEW_KINDS, KERNEL_TABLE, KINDS, MANY_KINDS, OF_ONE_CLIENT, expect_owners, row_of  # noqa: E402

GUEST_SECONDS = 240  # one kernel, all cases
ALL_SECONDS = 700  # all guests together
SECONDS_OF_CONNECTIONS = 0.2  # of one to each kind of server; those of the default are in the above
SECONDS_OF_MANY = 0.04  # the same, of clients that make many
FLOWS = 500
CONNECTIONS = 100
MANY_CONNECTIONS = 500
FEW_CONNECTIONS = 10  # to servers of the rarer kinds
PINGS, PING_DATA = 20, 100  # as in guest_script.sh
PING_OCTETS = 20 + 8 + PING_DATA
LINK_DELAY_NS = 20_000_000  # as in guest_script.sh
# By the cases that meter them: links without a link-layer header, of the numbers that they have in guest_script.sh.
LINKS = {"links": {1: "ipip", 2: "gre", 3: "sit", 4: "wireguard"}, "gre_to_many": {5: "gre to many"}}
STACK = ("north", "bond7", "bond7.5")  # a packet passes all of them
INCLUDE = {"owners": ("lo",), "under_wireguard": ("link4", "east"), "vlan_on_bond": STACK, "vlan_on_bond_none": STACK}
OURS = ("rheod", "packet_source", "unit_ipfix_transport_stream", "sctp_collector", "socket_pairs")
NEEDED = ("qemu-system-x86_64", "busybox", "depmod", "dpkg", "ip")

CONFIG = """[daemon]
run_directory = "/run/{case}"
pin_directory = "/sys/fs/bpf/{case}"
[interfaces]
include = {include}
[datapath]
drain_interval = "{drain}"
[flow]
max_record_interval = "2s"
deduplicate = "{deduplicate}"
[export.json.test]
path = "/out/{case}/records.json"
"""
SCTP_EXPORTER = """[export.ipfix.sctp]
endpoint = "sctp://127.0.0.1:4739"
"""


class CaseFiles:
    """What a case left in the guest."""

    def __init__(self, ended, case, folder, programs):
        self.ended = ended
        self.programs = programs  # on the host
        self.case = case
        self.folder = folder / case
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name, data in ended.files.items():
            if name.startswith(f"{case}/"):
                (self.folder / name.removeprefix(f"{case}/")).write_bytes(data)

    def said(self):
        """What every rheod of the case said; where there is none, the script."""
        logs = sorted(self.folder.glob("stderr.*"))
        return [log.read_text(errors="replace") for log in logs]

    def trouble(self):
        script = self.ended.files.get("script.log", b"").decode(errors="replace")
        words = [line for log in self.said() for line in log.splitlines() if not re.search(r" counter \S+ \d+$", line)]
        return " | ".join([*script.splitlines()[-4:], *words[-4:]])

    def counters(self):
        """Of the last rheod of the case, which must have ended well."""
        exit_file = self.folder / "exit"
        expect(exit_file.exists(), f"rheod did not come to its end: {self.trouble()}")
        expect_equal(exit_file.read_text().strip(), "0", f"rheod's exit status after SIGTERM ({self.trouble()})")
        counters = sum_records.read_counters(sorted(self.folder.glob("stderr.*"))[-1])
        expect(counters, "rheod printed no counters at exit")
        return counters

    def sums(self):
        return sum_records.sum_files([self.folder / "records.json"])

    def sent(self):
        reports = {file.suffix: json.loads(file.read_text()) for file in sorted(self.folder.glob("sent.*"))}
        expect(reports and all(report["packets"] > 0 for report in reports.values()), f"nothing was sent: {self.trouble()}")
        return sent_by(*(arrived(report) if way == ".inward" else report for way, report in reports.items()))


def expect_hook(files, kernel, interfaces):
    """Every start of rheod took the hook that the kernel has."""
    wanted = f"metering {interfaces} interface{'' if interfaces == 1 else 's'} ({kernel.hook})"
    for log in files.said():
        expect(wanted in log, f"not {wanted!r}: {files.trouble()}")


def judge_conservation(files, kernel):
    counters = files.counters()
    expect_hook(files, kernel, 1)
    expect_conserved(files.sent(), files.sums(), counters)
    expect_equal(counters["datapath.seen_packets"], files.sent()["packets"], "packets seen")


def judge_restart(files, kernel):
    counters = files.counters()
    expect_hook(files, kernel, 1)
    expect_equal(len(files.said()), 3, "starts of rheod")
    expect_conserved(files.sent(), files.sums(), counters, lossless=False)


def pings_of(records, link):
    """Packets and octets, both directions, of the flows between the tunnel's own addresses on that link."""
    total = [0, 0, 0]
    for line in records.splitlines():
        record = json.loads(line)
        if record.get("network.interface.name") != link:
            continue
        ends = {record.get("source.address"), record.get("destination.address")}
        if not all(str(end).startswith("10.9.") for end in ends):
            continue
        for direction in ("flow.", "flow.reverse."):
            for place, name in enumerate(("packets", "bytes", "layer2.bytes")):
                total[place] += int(record.get(f"{direction}{name}.delta", 0))
    return total


def judge_links(files, kernel):
    counters = files.counters()
    links = LINKS[files.case]
    expect_hook(files, kernel, len(links))
    records = (files.folder / "records.json").read_text()
    wrong = []
    for number, kind in links.items():
        answers = (files.folder / f"ping.{number}").read_text()
        expect(f" {PINGS} packets received" in answers, f"{kind}: pings were lost: {answers} {files.trouble()}")
        packets, l3_bytes, l2_bytes = pings_of(records, f"link{number}")
        if [packets, l3_bytes, l2_bytes] != [2 * PINGS, 2 * PINGS * PING_OCTETS, 2 * PINGS * PING_OCTETS]:
            wrong.append(f"{kind}: {packets} packets, {l3_bytes} octets of layer 3, {l2_bytes} of layer 2")
    drops = {name: count for name, count in counters.items() if count and re.match(r"datapath\.\w+\.packets$", name)}
    expect(not wrong, f"{2 * PINGS} packets of {PING_OCTETS} octets passed each link, in records are {'; '.join(wrong)}; "
                      f"rheod dropped {drops}")
    sums = files.sums()
    expect_equal(sums.packets, counters["datapath.seen_packets"], "packets in records")
    expect_equal(sums.duplicates, 0, "records that are in the file twice")


def judge_left_behind(files, kernel):
    counters = files.counters()
    expect_hook(files, kernel, 1)
    expect_equal(len(files.said()), 3, "starts of rheod")
    attached = (files.folder / "attached").read_text(errors="replace")
    filters = len(re.findall(r"handle 0x7268 .*meter_", attached))
    links = len(re.findall(r"/link_\d+_(?:in|e)gress$", attached, re.M))
    expect_equal((filters, links), (0, 2) if kernel.hook == "tcx" else (2, 0), f"filters and links after the crashes: {attached}")
    detached = (files.folder / "detach").read_text(errors="replace")
    expect_equal((files.folder / "detach_exit").read_text().strip(), "0", f"exit status of --detach: {detached}")
    hooks = re.findall(r"^removed (?:link \S+/link_\d+_(?:in|e)gress:|filter )", detached, re.M)
    expect_equal(len(hooks), 2, f"links and filters of interfaces removed: {detached}")
    pins = set(re.findall(r"^(/sys/fs/bpf/left_behind/v\d+/\S+)$", attached, re.M))
    expect_equal(set(re.findall(r"^removed (?:link|map|qdisc) (\S+):", detached, re.M)), pins, f"pins removed: {detached}")
    left = (files.folder / "detached").read_text(errors="replace")
    expect("clsact" not in left and "/sys/fs/bpf/" not in left and "handle" not in left, f"left by --detach: {left}")
    expect_conserved(files.sent(), files.sums(), counters)


def judge_stack(files, kernel):
    """A VLAN on a bond of a port: once, whichever of them reports, or three times."""
    counters, sums, sent = files.counters(), files.sums(), files.sent()
    expect_hook(files, kernel, len(STACK))
    times = len(STACK) if files.case.endswith("none") else 1
    expect_equal(counters["datapath.seen_packets"], len(STACK) * sent["packets"], "packets seen")
    for unit in ("packets", "l3_bytes"):
        expect_equal(getattr(sums, unit), times * sent[unit], f"{unit} in records")
    expect_equal(counters["table.duplicate.packets"], (len(STACK) - times) * sent["packets"], "duplicates")
    expect_equal(sums.flows, times * FLOWS, "flows")


def judge_under_wireguard(files, kernel):
    counters = files.counters()
    expect_hook(files, kernel, 2)
    answers = (files.folder / "ping.4").read_text()
    expect(f" {PINGS} packets received" in answers, f"pings were lost: {answers} {files.trouble()}")
    records = (files.folder / "records.json").read_text()
    expect_equal(pings_of(records, "link4")[0], 2 * PINGS, "packets in records of the tunnel")
    below = [record for record in map(json.loads, records.splitlines()) if record.get("destination.port") == 51820]
    packets = sum(int(record[f"{way}packets.delta"]) for record in below for way in ("flow.", "flow.reverse."))
    expect({record["network.interface.name"] for record in below} == {"east"} and packets >= 2 * PINGS,
           f"the tunnel's own flow has {packets} packets")
    expect_equal(counters["table.duplicate.packets"], 0, "duplicates: they are two flows")


def judge_sctp(files, kernel):
    said = (files.folder / "tests").read_text(errors="replace")
    expect_equal((files.folder / "tests_exit").read_text().strip(), "0", f"exit status of the unit tests: {said[-500:]}")
    expect("PASSED" in said and "SKIPPED" not in said, f"a unit test was skipped: {said[-500:]}")
    judge_conservation(files, kernel)
    expect_equal((files.folder / "collector").read_text().strip(), "0", f"exit status of the collector ({files.trouble()})")
    found = json.loads(run([files.programs / "ipfix_sums", files.folder / "flows.ipfix"], timeout=60))
    for unit in ("packets", "l3_bytes", "l2_bytes"):
        expect_equal(found[unit], files.sent()[unit], f"{unit} in what the SCTP collector received")
    expect_equal(len(found["sessions"]), 1, "transport sessions")


def judge_owners(files, kernel):
    """And the page about kernels says what was seen."""
    files.counters()
    said = files.said()[0]
    expect_equal("of who accepts" not in said, kernel.follows_accept, f"whether accept is followed, of a rheod that says: {said[:600]}")
    expect_owners(files.folder, kernel.follows_accept)
    row = row_of(kernel, said)
    expect(row in KERNEL_TABLE.read_text().splitlines(), f"{KERNEL_TABLE.name} is to have the line {row}")


def judge_lossy_link(files, kernel):
    """The last segment is sent after ss was asked, so the socket says then what it said to ss."""
    files.counters()
    expect_hook(files, kernel, 1)
    said = read_ss((files.folder / "said").read_text())
    expect(said["min_rtt"] >= LINK_DELAY_NS and said["retransmits"] > 0, f"no lossy link: ss says {said}: {files.trouble()}")
    records = map(json.loads, (files.folder / "records.json").read_text().splitlines())
    found = [record for record in records if record.get("flow.packets.total") == said["sent"] + 1]
    expect(found, f"no record ends with segment {said['sent'] + 1}: {files.trouble()}")
    for name in ("rtt", "min_rtt", "retransmits"):
        told = found[0][f"flow.tcp.{name}"]
        expect(abs(told - said[name]) <= 0.05 * said[name], f"{name} {told}, and ss says {said[name]}")


CASES = {"conservation": judge_conservation, "restart": judge_restart, "left_behind": judge_left_behind, "links": judge_links,
         "gre_to_many": judge_links, "sctp": judge_sctp, "under_wireguard": judge_under_wireguard,
         "vlan_on_bond": judge_stack, "vlan_on_bond_none": judge_stack, "owners": judge_owners,
         "lossy_link": judge_lossy_link}


SHORT = ("conservation", "sctp", "vlan_on_bond", "owners")
SHORT_ONCE = {"6.12": ("lossy_link",)}


class Reports:
    """The line of each case, and whether one failed."""

    def __init__(self):
        self.failed = False

    def say(self, status, case, reason=""):
        self.failed |= status == "failed"
        print(f"{status}: kernels: {case}{': ' + ' '.join(str(reason).split()) if reason else ''}", flush=True)


def programs(build):
    """What runs in the guest, by name there."""
    found = {name: build / "bin" / name for name in OURS}
    for name in ("ip", "tc", "wg", "ss"):
        if path := shutil.which(name):
            found[name] = pathlib.Path(path).resolve()
    return found


def payload(cases, arguments):
    numbers = (f'packets={arguments.packets} flows={FLOWS} connections={arguments.connections} kinds="{" ".join(KINDS)}" '
               f'few={min(FEW_CONNECTIONS, arguments.connections)} few_kinds="{" ".join(FEW_KINDS)}" '
               f'many={arguments.many} many_kinds="{" ".join(MANY_KINDS)}"')
    files = {"script.sh": (pathlib.Path(__file__).parent / "guest_script.sh").read_bytes(),
             "cases": f'cases="{" ".join(cases)}" {numbers}\n'.encode()}
    for case in cases:
        include = [f"link{number}" for number in LINKS[case]] if case in LINKS else INCLUDE.get(case, ["east"])
        deduplicate = "none" if case.endswith("none") else "first-interface"
        drain = "100ms" if case == "restart" else "1s"
        config = CONFIG.format(case=case, include=json.dumps(include), drain=drain, deduplicate=deduplicate)
        files[f"{case}.toml"] = (config + (SCTP_EXPORTER if case == "sctp" else "")).encode()
    return files


def why_not():
    """Why nothing can run here, or None."""
    if platform.machine() != "x86_64":
        return "the kernels are amd64's, this machine is not"
    for tool in NEEDED:
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return None


def try_kernel(kernel, arguments, reports):
    asked = arguments.cases.split(",") if arguments.cases else CASES
    if arguments.short and not arguments.cases:
        asked = (*SHORT, *SHORT_ONCE.get(kernel.name, ()))
    if unknown := set(asked) - set(CASES):
        sys.exit(f"kernels: --cases {', '.join(sorted(unknown))}: no such case; there are {', '.join(CASES)}")
    cases = [case for case in CASES if case in asked]  # those with an underlay leave it behind
    folder = arguments.build / "system" / kernel.name
    try:
        unpacked = debian_kernels.fetch(kernel, TOP / "build" / "cache" / "kernels")
    except debian_kernels.Unavailable as reason:
        for case in cases:
            reports.say("skipped", f"{kernel.name} {case}", reason)
        return
    started = time.monotonic()
    seconds = min(GUEST_SECONDS + arguments.more_seconds, arguments.seconds_left)
    try:
        expect(seconds > 10, f"the kernels before it took {ALL_SECONDS} s")
        archive = guest.make_archive(unpacked, programs(arguments.build), payload(cases, arguments))
        ended = guest.boot(unpacked, archive, folder, arguments.cpus, seconds)
    except AssertionError as error:
        arguments.seconds_left -= time.monotonic() - started
        for case in cases:
            reports.say("failed", f"{kernel.name} {case}", error)
        return
    arguments.seconds_left -= time.monotonic() - started
    (folder / "script.log").write_bytes(ended.files.get("script.log", b""))
    (folder / "dmesg").write_bytes(ended.files.get("dmesg", b""))
    took = f"{time.monotonic() - started:.0f} s in all"
    for case in cases:
        try:
            CASES[case](CaseFiles(ended, case, folder, arguments.build / "bin"), kernel)
            reports.say("passed", f"{kernel.name} {case} ({unpacked.version}, {kernel.hook}, {took})")
        except (AssertionError, OSError, ValueError, KeyError) as error:
            reports.say("failed", f"{kernel.name} {case} ({unpacked.version})",
                        error if isinstance(error, AssertionError) else repr(error))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "release", metavar="DIR")
    parser.add_argument("--short", action="store_true", help=f"for each kernel, {', '.join(SHORT)} only")
    parser.add_argument("--cases", metavar="CASE,…", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--only", choices=[kernel.name for kernel in debian_kernels.KERNELS], metavar="KERNEL")
    parser.add_argument("--cpus", type=int, default=2, help="of the guest (default 2)")
    parser.add_argument("--packets", type=int, default=30_000, help="in each direction (default 30000)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS,
                        help=f"to each kind of server (default {CONNECTIONS}, most 50000)")
    parser.add_argument("--many", type=int, default=MANY_CONNECTIONS,
                        help=f"to each of two kinds, of clients that make {OF_ONE_CLIENT} each (default {MANY_CONNECTIONS}, most 50000)")
    arguments = parser.parse_args()
    arguments.build = arguments.build.resolve()
    arguments.more_seconds = (max(0, arguments.connections - CONNECTIONS) * SECONDS_OF_CONNECTIONS
                              + max(0, arguments.many - MANY_CONNECTIONS) * SECONDS_OF_MANY)
    arguments.seconds_left = ALL_SECONDS + len(debian_kernels.KERNELS) * arguments.more_seconds
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    reports = Reports()
    if reason := why_not():
        reports.say("skipped", "all", reason)
        sys.exit(0)
    for name in (*OURS, "ipfix_sums"):
        if not (arguments.build / "bin" / name).exists():
            reports.say("failed", "all", f"{arguments.build}/bin/{name} is not built")
            sys.exit(1)
    for kernel in debian_kernels.KERNELS:
        if arguments.only in (None, kernel.name):
            try_kernel(kernel, arguments, reports)
    sys.exit(1 if reports.failed else 0)


if __name__ == "__main__":
    main()
