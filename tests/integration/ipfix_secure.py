#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""IPFIX over TLS and DTLS to `openssl s_server`: every packet is in what it received, decoded; a certificate that is
wrong is refused with one sentence; a DTLS collector that was restarted in silence gets templates and records."""
import pathlib
import shutil
import subprocess
import time

from ipfix_peers import (decoded, expect_accounted, expect_all, expect_json_conserved, prepare, send, sentences, settle,
                         together, wait_finished, wait_said, wait_until)
from rig import Rig, Skipped, expect, expect_equal, run

PORT = 4740
PACKETS = 4_000
CERTIFICATES = """set -e
ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
         -keyout $1.key -out $1.pem; }
leaf() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout $1.key -out $1.csr
         printf "subjectAltName=%s\\n" "$3" >$1.ext
         openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "$2" -extfile $1.ext -out $1.pem; }
ca ca; ca other
leaf server 2 DNS:localhost,IP:127.0.0.1
leaf named 2 DNS:collector.example
leaf expired 0 DNS:localhost,IP:127.0.0.1
leaf client 2 DNS:exporter.example
"""
SCHEMES = ("tls", "dtls")


class Collector:
    """`openssl s_server` on loopback; what it received is in a file."""

    count = 0

    def __init__(self, namespace, scheme, folder, certificate="server", port=PORT, more=()):
        Collector.count += 1
        self.namespace, self.port = namespace, port
        self.file = folder / f"received.{Collector.count}"
        self.log = folder / f"s_server.{Collector.count}.log"
        protocol = ["-dtls1_2"] if scheme == "dtls" else []
        with open(self.file, "wb") as received, open(self.log, "wb") as log:
            self.process = namespace.start(
                ["openssl", "s_server", *protocol, "-quiet", "-4", "-accept", f"127.0.0.1:{port}", *more,
                 "-cert", folder / f"{certificate}.pem", "-key", folder / f"{certificate}.key"],
                stdin=subprocess.PIPE, stdout=received, stderr=log)
        table = "udp" if scheme == "dtls" else "tcp"
        wait_until(lambda: f":{port:04X} " in namespace.run(["cat", f"/proc/self/net/{table}"]), "s_server listens")

    def received(self):
        return self.file.stat().st_size

    def end(self):
        self.process.kill()
        self.process.wait(timeout=20)


def make_certificates(folder):
    if shutil.which("openssl") is None:
        raise Skipped("openssl is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    run(["sh", "-c", CERTIFICATES], cwd=folder, timeout=60)
    return folder


def exporter_to(scheme, folder, port=PORT, **keys):
    return {"endpoint": f"{scheme}://127.0.0.1:{port}", "tls_ca_cert": str(folder / "ca.pem"), **keys}


def client_files(folder, name="client"):
    return {"tls_client_cert": str(folder / f"{name}.pem"), "tls_client_key": str(folder / f"{name}.key")}


def asking(folder):
    """Options of a collector that wants a client certificate."""
    return ["-Verify", "1", "-verify_return_error", "-CAfile", str(folder / "ca.pem")]


def expect_no_secrets(rheod, folder):
    """No line of any key, nor a part of one."""
    said = rheod.said()
    for key in pathlib.Path(folder).glob("*.key"):
        for line in key.read_text().splitlines():
            expect("PRIVATE KEY" in line or line[:16] not in said, f"the contents of {key.name} are in the log")
    expect("PRIVATE KEY" not in said, "a key's heading is in the log")


def everything(rig, case, scheme, certificate="server", client=False, **keys):
    """All records to a collector that is who it should be."""
    folder = make_certificates(rig.folder / "certificates")
    files = client_files(folder) if client else {}
    near, far, rheod = prepare(rig, case, {"secure": exporter_to(scheme, folder, **files, **keys)},
                               shutdown_timeout="10s")
    collector = Collector(near, scheme, folder, certificate, more=asking(folder) if client else ())
    rheod.start()
    sent = send(near, far, PACKETS)
    counters = rheod.stop()
    made = expect_json_conserved(rheod, counters, sent)
    expect_equal(expect_accounted(counters, "ipfix.secure", made)["sent"], made, "records sent")
    read_to_end(collector)
    found = decoded([collector.file])
    expect_all(found, sent)
    expect_equal(found["octets_cut_off"], 0, "octets after the last message")
    expect_equal([session["first_sequence"] for session in found["sessions"]], [0], "first sequence numbers")
    expect_no_secrets(rheod, folder)


def read_to_end(collector):
    """Until the collector has written down what has come."""
    settle(collector.namespace, collector.process, collector.port, collector.received)
    collector.end()


def refusals(rig, case, scheme):
    """Four collectors that are not as they should be, at once; each has one sentence, and gets nothing."""
    folder = make_certificates(rig.folder / "certificates")
    wanted = {  # exporter: certificate, more of the collector, keys, the reason
        "wrong_ca": ("server", [], {"tls_ca_cert": str(folder / "other.pem")},
                     f"the collector's certificate is not signed by an authority of tls_ca_cert {folder}/other.pem"),
        "expired": ("expired", [], {}, "the collector's certificate has expired"),
        "wrong_name": ("named", [], {}, "the collector's certificate is not for 127.0.0.1"),
        "other_name": ("server", [], {"tls_server_name": "collector.example"},
                       "the collector's certificate is not for collector.example"),
        "no_client": ("server", asking(folder), {},
                      "the collector asks for a client certificate: set tls_client_cert and tls_client_key"),
        "bad_client": ("server", asking(folder), client_files(folder, "other"), "the collector refuses the client certificate"),
    }
    exporters = {name: exporter_to(scheme, folder, PORT + number, **keys)
                 for number, (name, (_, _, keys, _)) in enumerate(wanted.items())}
    near, far, rheod = prepare(rig, case, exporters)
    collectors = {name: Collector(near, scheme, folder, certificate, PORT + number, more)
                  for number, (name, (certificate, more, _, _)) in enumerate(wanted.items())}
    rheod.start()
    sent = send(near, far, PACKETS)
    for name, (_, _, _, reason) in wanted.items():
        wait_said(rheod, f"ipfix.{name}", "trying again")
        expect_equal(sentences(rheod, f"ipfix.{name}"),
                     [f"connect to {exporters[name]['endpoint']} (127.0.0.1): {reason}, trying again in 1 s; "
                      "records wait in the outbox"], f"what rheod says of {name}")
    counters = rheod.stop()
    made = expect_json_conserved(rheod, counters, sent)
    for name, collector in collectors.items():
        expect_equal(expect_accounted(counters, f"ipfix.{name}", made)["pending"], made, f"records that wait for {name}")
        expect_equal(collector.received(), 0, f"octets that {name} received")
        collector.end()
    expect_no_secrets(rheod, folder)


def unusable_files(rig, case):
    """Files that can never serve are complaints at the start, each with exporter, endpoint, key and file."""
    folder = make_certificates(rig.folder / "certificates")
    run(["openssl", "pkey", "-in", folder / "client.key", "-aes128", "-passout", "pass:x", "-out", folder / "locked.key"])
    wrong = {
        "absent": ({"tls_ca_cert": str(folder / "absent.pem")},
                   f"tls_ca_cert {folder}/absent.pem: no PEM certificate could be read: No such file or directory"),
        "half": ({"tls_client_cert": str(folder / "client.pem")},
                 "tls_client_cert and tls_client_key are set both or neither"),
        "swapped": ({**client_files(folder), "tls_client_key": str(folder / "server.key")},
                    f"tls_client_key {folder}/server.key: it does not belong to tls_client_cert {folder}/client.pem"),
        "locked": ({**client_files(folder), "tls_client_key": str(folder / "locked.key")},
                   f"tls_client_key {folder}/locked.key: no PEM key without a passphrase could be read: "),
    }
    exporters = {name: exporter_to("tls", folder, PORT + number, **keys)
                 for number, (name, (keys, _)) in enumerate(wrong.items())}
    _, _, rheod = prepare(rig, case, exporters)
    rheod.start(wait=False)
    expect_equal(rheod.process.wait(timeout=20), 78, "exit status")
    for name, (_, reason) in wrong.items():
        said = sentences(rheod, f"export.ipfix.{name}")
        expect(len(said) == 1 and said[0].startswith(f"endpoint {exporters[name]['endpoint']}: {reason}"),
               f"what rheod says of {name}: {said}")
    expect_no_secrets(rheod, folder)


def renewed(rig, case, scheme):
    """A collector whose certificate had expired gets all records once it has a new one."""
    folder = make_certificates(rig.folder / "certificates")
    near, far, rheod = prepare(rig, case, {"secure": exporter_to(scheme, folder)}, shutdown_timeout="10s")
    expired = Collector(near, scheme, folder, "expired")
    rheod.start()
    sent = send(near, far, PACKETS)
    wait_said(rheod, "ipfix.secure", "has expired, trying again")
    expired.end()
    collector = Collector(near, scheme, folder)
    wait_said(rheod, "ipfix.secure", "writing again")
    counters = rheod.stop()
    expect_json_conserved(rheod, counters, sent)
    read_to_end(collector)
    expect_all(decoded([collector.file]), sent)
    expect_equal(expired.received(), 0, "octets that the expired one received")


def restarted(rig, case, scheme):
    """Killed while nothing is sent: a connection that broke, or an ICMP error, tells; nothing is lost over TLS."""
    folder = make_certificates(rig.folder / "certificates")
    near, far, rheod = prepare(rig, case, {"secure": exporter_to(scheme, folder)}, shutdown_timeout="10s")
    first = Collector(near, scheme, folder)
    rheod.start()
    before = send(near, far, PACKETS)
    wait_finished(rheod, before)
    rheod.wait_delivered("ipfix.secure")
    read_to_end(first)
    meanwhile = send(near, far, PACKETS, first_flow=1_000)
    wait_finished(rheod, before, meanwhile)
    wait_said(rheod, "ipfix.secure", "Connection refused, trying again")
    second = Collector(near, scheme, folder)
    wait_said(rheod, "ipfix.secure", "writing again")
    after = send(near, far, PACKETS, first_flow=2_000)
    counters = rheod.stop()
    expect_json_conserved(rheod, counters, together(before, meanwhile, after))
    read_to_end(second)
    if scheme == "tls":
        expect_all(decoded([first.file, second.file]), together(before, meanwhile, after))
        return
    found = decoded([second.file])
    expect(found["packets"] >= after["packets"], f"packets that the new collector read: {found['packets']}, "
                                                 f"after it was there {after['packets']} were sent")


def silent_restart(rig, case):
    """The new collector knows nothing of the DTLS session, and no ICMP error says so: nothing is sent meanwhile."""
    folder = make_certificates(rig.folder / "certificates")
    near, far, rheod = prepare(rig, case, {"secure": exporter_to("dtls", folder, template_refresh="2s")},
                               shutdown_timeout="10s")
    first = Collector(near, "dtls", folder)
    rheod.start()
    before = send(near, far, PACKETS)
    wait_finished(rheod, before)
    rheod.wait_delivered("ipfix.secure")
    read_to_end(first)
    expect_all(decoded([first.file]), before)
    second = Collector(near, "dtls", folder)
    lost_at_most = send(near, far, PACKETS // 4, first_flow=1_000)
    wait_finished(rheod, before, lost_at_most)
    time.sleep(2)  # the session is old now
    after = send(near, far, PACKETS, first_flow=2_000)
    counters = rheod.stop()
    expect_json_conserved(rheod, counters, together(before, lost_at_most, after))
    read_to_end(second)
    found = decoded([second.file])
    expect(found["packets"] >= after["packets"],
           f"packets that the new collector read: {found['packets']}, at least {after['packets']} came after the session "
           "had become old")
    expect_equal(found["sessions"][0]["first_sequence"], 0, "the first sequence number")
    expect_equal(sentences(rheod, "ipfix.secure"), [], "what rheod says")


def main():
    rig = Rig()
    for scheme in SCHEMES:
        with rig.case(f"{scheme}, every packet and octet") as case:
            everything(rig, case, scheme)
        with rig.case(f"{scheme}, both sides show certificates, and the name is another") as case:
            everything(rig, case, scheme, "named", client=True, tls_server_name="collector.example")
        with rig.case(f"{scheme}, wrong certificates are refused in a sentence each") as case:
            refusals(rig, case, scheme)
        with rig.case(f"{scheme}, an expired certificate renewed") as case:
            renewed(rig, case, scheme)
        with rig.case(f"{scheme}, a collector killed and restarted") as case:
            restarted(rig, case, scheme)
    with rig.case("dtls, a collector restarted in silence") as case:
        silent_restart(rig, case)
    with rig.case("files that cannot serve") as case:
        unusable_files(rig, case)
    rig.end()


if __name__ == "__main__":
    main()
