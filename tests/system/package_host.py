# SPDX-License-Identifier: Apache-2.0
"""A Debian machine for tests of the package: a booted root of a suite with a network, traffic through it, collectors
beside it, and everything that was sent."""
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from collectors import Nfcapd  # noqa: E402
from otlp_receivers import Receiver  # noqa: E402
from rig import Namespace, Rig, expect, expect_equal, finish_sending, sent_by  # noqa: E402
import sum_records  # noqa: E402

from booted import Container, wait_for  # noqa: E402

MANAGER = "org.rheo.Rheo1 /org/rheo/Rheo1 org.rheo.Rheo1.Manager"
RECORDS = "/var/log/rheo/flows.json"
COLLECTOR = "10.9.1.2"
# The packaged default but for what makes flows end soon and what the collectors' own link would add.
DROP_IN = f"""[interfaces]
exclude = ["out*"]
[flow]
udp_timeout = "1s"
tcp_timeout = "1s"
[export.json.default]
path = "{RECORDS}"
[export.ipfix.nfcapd]
endpoint = "udp://{COLLECTOR}:4739"
[export.otlp.receiver]
endpoint = "http://127.0.0.1:4318"
protocol = "http/protobuf"
max_batch_interval = "100ms"
"""
# Nobody on these links says anything of his own accord.
LINKS = """ip netns add far
ip link add east type veth peer name west netns far && ip link add out0 type veth peer name in0 netns far
set_up() { $1 ip link set $2 addrgenmode none; $1 ip link set $2 up; }
set_up "" east; set_up "" out0; set_up "ip netns exec far" west; set_up "ip netns exec far" in0
ip netns exec far ip link set lo up
ip addr add 10.9.1.1/24 dev out0 && ip netns exec far ip addr add 10.9.1.2/24 dev in0"""
RATE = 5000


class Network(Namespace):
    """A network namespace of the container's, for programs of this machine's."""

    def __init__(self, path):
        self.name = str(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class Traffic:
    """Packets through the interface east for as long as the block takes; what was sent is added to `host.sent`."""

    def __init__(self, host):
        self.host = host

    def __enter__(self):
        self.source = self.host.network.start_sending("east", "--rate", RATE, "--flows", 60, "--size", 200,
                                                      "--protocols", "udp,tcp", "--families", "4,6")
        before = self.host.east_packets()
        wait_for(lambda: self.host.east_packets() > before + 100, "packets on the interface")
        return self

    def __exit__(self, kind, *_):
        self.host.sent.append(sent_by(finish_sending(self.source)))


class Host:
    """A container with a throw-away layer above the suite's root; packages are in /packages."""

    def __init__(self, folder, root, programs, packages):
        Rig.programs = programs
        self.folder = folder
        self.sent = []
        self.network = self.nfcapd = self.receiver = None
        layers = folder / "layers"
        layers.mkdir(parents=True, exist_ok=True)
        prepare = (f"mount -t tmpfs tmpfs {layers} && mkdir {layers}/upper {layers}/work && mount -t overlay overlay "
                   f"-o lowerdir={root},upperdir={layers}/upper,workdir={layers}/work {folder}/root")
        self.container = Container(folder, prepare, f"--bind-ro={packages}:/packages")
        self.run = self.container.run
        self.show = self.container.show

    def boot(self):
        self.container.wait_booted()
        self.run("useradd ann")
        self.make_links()

    def make_links(self):
        self.run(LINKS)
        self.network = Network(f"/proc/{self.container.leader}/ns/net")
        for interface in ("east", "out0"):
            self.network.set_kernel(f"ipv6/conf/{interface}/disable_ipv6", 1)

    def reboot(self):
        self.container.reboot()
        self.make_links()
        self.receiver.kill()
        self.start_receiver()

    def apt(self, *words):
        """Where dpkg would ask about a conffile that both sides have changed, ours stays."""
        return self.run(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold {' '.join(words)}",
                        seconds=300)

    def wait_metering(self):
        """Also where the first start fails: in a container now and then a process cannot be moved to its unit's cgroup
        (status=219/CGROUP), and systemd tries again."""
        wait_for(lambda: self.show("ActiveState") == "active", "unit that is active")
        self.container.wait_on_the_bus()

    def systemctl(self, words):
        """For what ends in a rheod that meters."""
        self.run(f"systemctl {words} rheod", check=False)
        self.wait_metering()

    def start_collectors(self):
        far = Network(self.container.path("/run/netns/far"))
        self.nfcapd = Nfcapd(far, self.folder / "nfcapd", address=COLLECTOR)
        self.start_receiver()

    def start_receiver(self):
        self.receiver = Receiver(self.network, Rig.programs, self.folder / "otlp", "http/protobuf")

    def configure(self, text=DROP_IN):
        self.run(f"cat > /etc/rheo/rheo.toml.d/50-test.toml <<'END'\n{text}END")

    def east_packets(self):
        return self.network.counters("east")["tx_packets"]

    def attached(self):
        """[(interface, direction, program)] at the TCX hooks."""
        script = pathlib.Path(__file__).resolve().parent.parent / "tools" / "tcx_programs.py"
        return [tuple(line.split()) for line in self.network.run([sys.executable, script, "--ids"]).splitlines()]

    def qdiscs(self):
        return [line for line in self.run("tc qdisc show; ip netns exec far tc qdisc show").splitlines() if "clsact" in line]

    def pins(self):
        return self.run("find /sys/fs/bpf -mindepth 2", check=False).split()

    def journal(self, *matches):
        shown = self.run("journalctl --sync; journalctl --no-pager -o json -u rheod " + " ".join(matches))
        return [json.loads(line) for line in shown.splitlines() if line.startswith("{")]

    def losses(self):
        return {row["name"]: row["packets"] for row in json.loads(self.run("rheoctl --json losses"))}

    def sums(self):
        records = self.container.path(RECORDS)
        return sum_records.sum_files([records] if records.exists() else [], growing=True)

    def forget(self, packets):
        """So many of those sent were not metered; all of them are of the same size."""
        sent = self.total_sent()
        size = {key: sent[key] // sent["packets"] for key in sent}
        self.sent.append({key: -packets * size[key] for key in sent})

    def total_sent(self):
        return {key: sum(report[key] for report in self.sent) for key in ("packets", "l3_bytes", "l2_bytes")}

    def expect_conserved(self):
        """Everything ever sent is in the file of records, once, and nothing is lost; waits for flows that go on."""
        sent = self.total_sent()
        deadline = time.monotonic() + 120
        while self.sums().packets < sent["packets"] and time.monotonic() < deadline:
            time.sleep(0.2)
        self.container.wait_on_the_bus()
        sums = self.sums()
        lost = {name: packets for name, packets in self.losses().items() if packets and "not_ip" not in name}
        expect_equal(sums.packets, sent["packets"], f"packets in records, with the losses {lost}")
        expect_equal({"l3": sums.l3_bytes, "l2": sums.l2_bytes}, {"l3": sent["l3_bytes"], "l2": sent["l2_bytes"]}, "octets")
        expect_equal((lost, sums.duplicates, sums.missing_sequences()), ({}, 0, 0), "losses, doubles and gaps")
        expect_equal(sorted({group.split()[2] for group in sums.groups}), ["east"], "interfaces of the records")


def expect_nothing_attached(host):
    expect_equal((host.attached(), host.qdiscs(), host.pins()), ([], [], []), "programs, qdiscs and pins")
    expect(host.run("pgrep -x rheod", check=False).strip() == "", "a rheod runs")
