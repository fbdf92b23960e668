# SPDX-License-Identifier: Apache-2.0
"""The collectors that tests of IPFIX start, each in the test's own namespace: they die with the test."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

from rig import Skipped, expect, expect_equal, run
from rig import wait_until as wait_for

PORT = 4739
AHEAD = ("nice", "-n", "-15")  # of whatever else keeps the CPUs busy


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Skipped(f"{program} is not installed")


def udp_socket(namespace, port):
    """The line of /proc/net/udp of a socket that is bound to the port, or None."""
    lines = namespace.run(["cat", "/proc/self/net/udp"]).splitlines()
    return next((line.split() for line in lines if f":{port:04X} " in line), None)


def sleeps(pid):
    """Whether the process waits for something: it has dealt with what had come."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def wait_read(namespace, port):
    """Until the collector has read all that lies in its socket's buffer, which was never full."""
    wait_for(lambda: int(udp_socket(namespace, port)[4].split(":")[1], 16) == 0, "the collector reads its socket")
    expect_equal(int(udp_socket(namespace, port)[-1]), 0, "datagrams that found the collector's socket buffer full")


class Nfcapd:
    """Listens in a namespace, and nfdump reads what it stored."""

    def __init__(self, namespace, folder, port=PORT, address="127.0.0.1"):
        need("nfcapd", "nfdump")
        self.namespace, self.folder, self.port = namespace, folder, port
        folder.mkdir(parents=True)
        self.log = open(folder.with_suffix(".log"), "wb")
        # What is shown is that rheod's messages are right; a collector that comes too late to its socket shows nothing.
        self.process = namespace.start([*AHEAD, "nfcapd", "-w", folder, "-b", address, "-p", port, "-t", "3600"],
                                       stdout=self.log, stderr=self.log)
        wait_for(lambda: self.process.poll() is not None or udp_socket(namespace, port), "nfcapd listens")
        expect_equal(self.process.poll(), None, "nfcapd's exit status")

    def stop(self):
        """When it has read everything."""
        wait_read(self.namespace, self.port)
        wait_for(lambda: sleeps(self.process.pid), "nfcapd has dealt with the datagram that it read last")
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        self.log.close()

    def shown(self, form):
        """The text that nfdump makes of all flows; -q leaves out what stands around them."""
        return run(["nfdump", "-q", "-R", self.folder, "-o", form], timeout=60, env={**os.environ, "TZ": "UTC"})

    def sums(self):
        """Packets and octets of both directions: of the flows, which must be what nfdump's own summary says."""
        text = self.shown("json")
        sums = {unit: sum(map(int, re.findall(rf'"(?:in|out)_{name}" : (\d+)', text)))
                for unit, name in (("packets", "packets"), ("l3_bytes", "bytes"))}
        summary = run(["nfdump", "-N", "-R", self.folder, "-o", "line"], timeout=60).splitlines()
        said = next((line for line in summary if line.startswith("Summary:")), "")
        found = re.search(r"total bytes: (\d+), total packets: (\d+)", said)
        expect(found, f"nfdump's summary has no sums: {said!r}")
        expect_equal({"packets": int(found[2]), "l3_bytes": int(found[1])}, sums, "nfdump's own summary")
        return sums


class TcpSink:
    """Writes what one connection sends into a file, for collectors that read files."""

    SCRIPT = """import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server, open(sys.argv[2], "wb") as file:
    print("listening", flush=True)
    server.settimeout(120)
    connection, _ = server.accept()
    while data := connection.recv(65536):
        file.write(data)
"""

    def __init__(self, namespace, file, port=PORT):
        self._process = namespace.start([sys.executable, "-c", self.SCRIPT, port, file], stdout=subprocess.PIPE)
        expect(self._process.stdout.readline() == b"listening\n", "the TCP collector does not listen")

    def wait(self):
        expect_equal(self._process.wait(timeout=120), 0, "the TCP collector's exit status")
