# SPDX-License-Identifier: Apache-2.0
"""What every integration test stands on: network namespaces, veth pairs, a running rheod, the equation.

A test is a program: `tests/integration/NAME.py [--build DIR]`. For each case it prints one line
"passed: NAME: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when a case failed.

Everything it makes lives in a mount namespace of its own (a private /run, a private bpffs) and in network
namespaces that only that /run names, and its children die with it: whatever ends the test, the host is as it
was. To look inside a running one: `nsenter -t PID -m ip netns`.
"""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "tools"))
import sum_records  # noqa: E402

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x00020000, 0x08000000, 0x40000000
_MS_REC, _MS_PRIVATE, _PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 0x4000, 0x40000, 1, 24


class Skipped(Exception):
    """A case cannot run here; says why."""


def _check(result, doing):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{doing}: {os.strerror(ctypes.get_errno())}")


def mount(kind, where, flags=0):
    os.makedirs(where, exist_ok=True)
    _check(_libc.mount(kind.encode(), str(where).encode(), kind.encode(), flags, None), f"mount {kind} on {where}")


def expect(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: {got}, expected {wanted} ({got - wanted:+d})"
           if isinstance(got, int) else f"{what}: {got!r}, expected {wanted!r}")


def wait_until(condition, what, seconds=60):
    """The limit is for what never comes: on a busy machine everything takes seconds. What is true is seen, however late."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline
        if condition():
            return
        expect(not late, f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Namespace:
    """A network namespace. Its programs are started with run() or start()."""

    def __init__(self, name):
        self.name = name
        run(["ip", "netns", "add", name])
        self._fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        self.run(["ip", "link", "set", "dev", "lo", "up"])

    def _enter(self, extra=None):
        def enter():
            _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
            _check(_libc.setns(self._fd, _CLONE_NEWNET), "setns")
            if extra:
                extra()
        return enter

    def start(self, command, before_exec=None, **options):
        return subprocess.Popen(list(map(str, command)), preexec_fn=self._enter(before_exec), **options)

    def run(self, command, timeout=60, **options):
        return subprocess.run(list(map(str, command)), preexec_fn=self._enter(), check=True, timeout=timeout,
                              capture_output=True, text=True, **options).stdout

    def set_kernel(self, setting, value):
        """A sysctl of this namespace; /proc/sys/net shows the namespace of whoever opens it."""
        self.run(["sh", "-c", f"echo {value} > /proc/sys/net/{setting}"])

    def counters(self, interface):
        """Packets and octets of the interface: rx_packets, tx_bytes, tx_dropped …"""
        link = json.loads(self.run(["ip", "-j", "-s", "link", "show", "dev", interface]))[0]
        return {f"{way}_{key}": value for way in ("rx", "tx") for key, value in link["stats64"][way].items()}

    def send(self, interface, *options):
        """Runs packet_source to its end; what it sent."""
        return json.loads(self.run([Rig.programs / "packet_source", "--interface", interface, *options], timeout=300))

    def start_sending(self, interface, *options):
        """Starts packet_source; finish_sending() stops it and says what it sent."""
        return self.start([Rig.programs / "packet_source", "--interface", interface, *options],
                          stdout=subprocess.PIPE, text=True)


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def finish_sending(source):
    source.send_signal(signal.SIGTERM)
    output, _ = source.communicate(timeout=60)
    return json.loads(output)


def arrived(report):
    """The report of a generator on the far side: what was refused there has not come to the metered interface."""
    return {**report, "refused": {}}


def sent_by(*reports):
    """The sum of generators' reports as the egress hook saw it: a refused frame has passed the hook."""
    total = {"packets": 0, "l3_bytes": 0, "l2_bytes": 0, "flows": 0}
    for report in reports:
        for key in total:
            total[key] += report[key] + report["refused"].get(key, 0)
    return total


FIRST_COUNTER = "rheod: counter datapath.seen_packets "


class Rheod:
    """One rheod and its files. start() again after kill() continues from the same run directory."""

    def __init__(self, namespace, folder, **sections):
        self.namespace = namespace
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.records = self.folder / "records.json"
        self.config = self.folder / "rheo.toml"
        self.starts = 0
        self.process = None
        mount("bpf", self.folder / "bpf")
        self.configure(**sections)

    def configure(self, **sections):
        """Sections of rheo.toml as dicts; `export_json` has a path already."""
        text = {
            "daemon": {"run_directory": str(self.folder / "run"), "pin_directory": str(self.folder / "bpf" / "rheo")},
            "interfaces": {},
            "datapath": {},
            "flow": {},
            "export.json.test": {"path": str(self.records)},
        }
        for name, values in sections.items():
            text.setdefault("export.json.test" if name == "export_json" else name, {}).update(values)
        # At once: a running rheod may be reading it.
        whole = self.config.with_suffix(".new")
        whole.write_text("".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            for name, values in text.items() if values))
        whole.rename(self.config)

    @property
    def log(self):
        return self.folder / f"stderr.{self.starts}"

    def start(self, wait=True, environment=None, cpu=None, without_capability=None):
        def pin():
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            if without_capability is not None:
                _check(_libc.prctl(_PR_CAPBSET_DROP, without_capability), "prctl")
        self.starts += 1
        with open(self.log, "wb") as stderr:
            self.process = self.namespace.start([Rig.programs / "rheod", "--config", self.config], before_exec=pin,
                                                stderr=stderr, stdout=stderr, stdin=subprocess.DEVNULL,
                                                env={**os.environ, **(environment or {})})
        if wait:
            self.wait_ready()
        return self

    def said(self):
        return self.log.read_text(errors="replace")

    def wait_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            code, late = self.process.poll(), time.monotonic() > deadline
            if "metering " in self.said():
                return
            expect(code is None, f"rheod exited with {code} instead of metering: {self.said().strip()[-500:]}")
            expect(not late, f"rheod is not metering after {seconds} s: {self.said()[-500:]}")
            time.sleep(0.005)

    def wait_served(self):
        """Until its main loop has done what signals and descriptors asked of it before this call."""
        before = self.said().count(FIRST_COUNTER)
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.said().count(FIRST_COUNTER) > before, "counters at SIGUSR1")

    def counters(self):
        """Those of now, as SIGUSR1 prints them; the first line of the next list says that this one is whole."""
        self.wait_served()
        self.wait_served()
        return sum_records.counters_of(FIRST_COUNTER + self.said().split(FIRST_COUNTER)[-2])

    def wait_drained(self):
        """Until what the hooks saw before this call is in the flow table."""
        before = self.counters()["collector.drains"]
        wait_until(lambda: self.counters()["collector.drains"] >= before + 2, "two drains")

    def wait_delivered(self, exporter):
        """Until the exporter has sent, or lost, every record that has ended so far."""
        lane = f"lane.{exporter}.records_"
        wait_until(lambda: self.counters()[f"{lane}pending"] == 0, f"no record waits for {exporter}")

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)

    def wait_killed(self, seconds):
        """True when rheod dies by SIGKILL within that time."""
        try:
            return self.process.wait(timeout=seconds) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def stop(self, seconds=60):
        """Ends it as systemd does; its counters."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        expect(code == 0, f"rheod's exit status after SIGTERM: {code}: {self.said().strip()[-500:]}")
        counters = sum_records.read_counters(self.log)
        expect(counters, "rheod printed no counters at exit")
        return counters

    def sums(self):
        """Of the file of records, which may still be growing."""
        return sum_records.sum_files([self.records], growing=self.process.poll() is None)


LOSSES = ("datapath.truncated", "datapath.malformed", "datapath.too_deep", "datapath.evicted_full", "lane.json.test.lost")


def losses(counters):
    """What the counters name as lost: packets and layer-2 octets."""
    for name in LOSSES:
        expect(f"{name}.packets" in counters, f"rheod printed no counter {name}.packets")
    return {"packets": sum(counters[f"{name}.packets"] for name in LOSSES),
            "l2_bytes": sum(counters.get(f"{name}.bytes", counters.get(f"{name}.l2_bytes", 0)) for name in LOSSES)}


def expect_conserved(sent, sums, counters, lossless=True, several_links=False):
    """The equation: records, each once, and named losses are what was sent, to the packet and the octet. Where one
    packet passes several metered links, `sent` has it once, and what they saw is with the duplicates."""
    lost = losses(counters)
    if several_links:
        expect_equal(counters["datapath.seen_packets"] - counters["datapath.not_ip.packets"],
                     sums.packets + counters["table.duplicate.packets"] + lost["packets"], "packets seen")
    else:
        expect_equal(counters["table.duplicate.packets"], 0, "duplicates")
    if lossless:
        expect_equal(lost["packets"], 0, f"packets lost (by name: { {k: v for k, v in counters.items() if v} })")
        expect_equal(sums.l3_bytes, sent["l3_bytes"], "layer-3 octets in records")
    expect_equal(sums.packets + lost["packets"], sent["packets"], f"packets in records and losses {lost}")
    expect_equal(sums.l2_bytes + lost["l2_bytes"], sent["l2_bytes"], f"layer-2 octets in records and losses {lost}")
    expect_equal(sums.duplicates, 0, "records that are in the file twice")
    if lost["packets"] == 0:
        expect_equal(sums.missing_sequences(), 0, "sequence numbers missing in the file")
        expect_equal(sums.totals_differ(), 0, "sum of the flows' totals less sum of their deltas")


class Rig:
    """One test: its arguments, its folder, its namespaces, its cases."""

    programs = None  # build/<preset>/bin

    def __init__(self, add_arguments=None, report_passed=True, choose=False):
        """`choose`: --only takes a word of the names of cases."""
        self.name = pathlib.Path(sys.argv[0]).stem
        parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
        parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "dev", metavar="DIR")
        if add_arguments:
            add_arguments(parser)
        if choose:
            parser.add_argument("--only", default="", help="cases whose name has this word")
        self.arguments = parser.parse_args()
        Rig.programs = self.arguments.build.resolve() / "bin"
        self.evidence = self.arguments.build.resolve() / "integration" / self.name
        self.failed = 0
        self._report_passed = report_passed
        if os.geteuid() != 0:
            print(f"skipped: {self.name}: all: not root", flush=True)
            sys.exit(0)
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        # nfcapd takes another one whose folder has the same inode, in another mount namespace, for itself.
        _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
        _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
        mount("tmpfs", "/run")
        os.makedirs("/run/netns")
        os.makedirs("/run/lock")
        self.folder = pathlib.Path("/run") / self.name
        self.folder.mkdir()
        self._children, self._at_end = [], []
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def case_folder(self, case):
        return self.folder / case.replace(" ", "_").replace("/", "_")

    @contextlib.contextmanager
    def case(self, name):
        """Runs the block as one case, in fresh namespaces; reports it; keeps logs of one that failed."""
        started = time.monotonic()
        failure = None
        try:
            yield name
        except Skipped as reason:
            print(f"skipped: {self.name}: {name}: {reason}", flush=True)
            return
        except (AssertionError, OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as error:
            failure = str(error) if isinstance(error, AssertionError) else repr(error)
        finally:
            self.end_children()
            while self._at_end:
                self._at_end.pop()()
            self._remove_namespaces()
        took = f"{time.monotonic() - started:.1f} s"
        if failure is None:
            if self._report_passed:
                print(f"passed: {self.name}: {name} ({took})", flush=True)
            return
        self.failed += 1
        self._keep(name)
        print(f"failed: {self.name}: {name} ({took}): {' '.join(failure.split())}", flush=True)

    def run_cases(self, cases):
        """Each action by its name, as a case: action(rig, case)."""
        for name, action in cases.items():
            if getattr(self.arguments, "only", "") in name:
                with self.case(name) as case:
                    action(self, case)

    def at_end_of_case(self, action):
        self._at_end.append(action)

    def namespace(self, suffix):
        return Namespace(f"rheo-{self.name}-{suffix}")

    def veth(self, left, left_name, right, right_name, offloads=False):
        """A pair between two namespaces that says nothing of its own accord."""
        run(["ip", "link", "add", "name", left_name, "netns", left.name, "type", "veth",
             "peer", "name", right_name, "netns", right.name])
        for namespace, name in ((left, left_name), (right, right_name)):
            namespace.run(["ip", "link", "set", "dev", name, "addrgenmode", "none"])
            namespace.set_kernel(f"ipv6/conf/{name}/disable_ipv6", 1)
            if not offloads:
                namespace.run(["ethtool", "-K", name, "tso", "off", "gso", "off", "gro", "off"])
        for namespace, name in ((left, left_name), (right, right_name)):
            namespace.run(["ip", "link", "set", "dev", name, "up"])

    def pair(self, offloads=False):
        """Two namespaces and the pair east - west between them."""
        near, far = self.namespace("near"), self.namespace("far")
        self.veth(near, "east", far, "west", offloads)
        return near, far

    def rheod(self, namespace, case, **sections):
        rheod = Rheod(namespace, self.case_folder(case), **sections)
        self._children.append(rheod)
        return rheod

    def end_children(self):
        for child in self._children:
            if child.process and child.process.poll() is None:
                child.kill()
        self._children.clear()

    def _remove_namespaces(self):
        for name in os.listdir("/run/netns"):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _keep(self, case):
        source, target = self.case_folder(case), self.evidence / self.case_folder(case).name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for file in (*source.glob("stderr.*"), *source.glob("*.toml")):
            shutil.copy(file, target)

    def end(self):
        sys.exit(1 if self.failed else 0)
