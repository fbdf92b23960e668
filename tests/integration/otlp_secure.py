#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OTLP over TLS: what is wrong is refused with one sentence that names the exporter and the reason; client
certificates, basic and bearer authentication over both transports; no secret is ever shown."""
import base64
import json

from ipfix_secure import client_files, make_certificates
from otlp_receivers import Receiver
from rig import TOP, Rig, expect, expect_equal, run

SECRET = "s3cret-W0rd"
CAPTURE = "tcp_handshakes"
PATIENT = "20s"
RECORDS = 6


class Replay:
    """One capture through one exporter, and what was said of it."""

    def __init__(self, namespace, folder, exporter, timeout, environment=None):
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "rheo.toml"
        config.write_text(f'[daemon]\nshutdown_timeout = "{timeout}"\n[export.otlp.test]\ntimeout = "{timeout}"\n' +
                          "".join(f"{key} = {json.dumps(value)}\n" for key, value in exporter.items()))
        process = namespace.start([Rig.programs / "rheod", "--config", config, "--replay",
                                   folder.parent / f"{CAPTURE}.pcap"],
                                  stderr=-1, stdout=-1, text=True, env=environment)
        output, errors = process.communicate(timeout=120)
        self.said = output + errors
        self.sent = f"lane.otlp.test.records_sent {RECORDS}\n" in self.said

    def sentences(self):
        return [line for line in self.said.splitlines() if "otlp.test: " in line]


class Setup:
    """A namespace, certificates, the capture; one receiver at a time."""

    def __init__(self, rig, case, protocol):
        self.rig, self.protocol = rig, protocol
        self.folder = rig.case_folder(case)
        self.namespace = rig.namespace("near")
        self.certificates = make_certificates(self.folder / "certificates")
        run(["python3", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import make_captures, pathlib; "
             "make_captures.make_all(pathlib.Path(sys.argv[2]))", TOP / "tests" / "golden", self.folder], timeout=60)
        self.count = 0

    def file(self, name):
        return str(self.certificates / name)

    def receiver(self, certificate="server", **environment):
        self.count += 1
        return Receiver(self.namespace, Rig.programs, self.folder / f"receiver{self.count}", self.protocol,
                        TLS_CERT=self.file(f"{certificate}.pem"), TLS_KEY=self.file(f"{certificate}.key"), **environment)

    def replay(self, timeout=PATIENT, environment=None, **settings):
        self.count += 1
        exporter = {"endpoint": f"https://localhost:{Receiver.PORTS[self.protocol]}", "protocol": self.protocol,
                    "max_batch_interval": "10ms", "tls.ca_cert": self.file("ca.pem"), **settings}
        return Replay(self.namespace, self.folder / f"replay{self.count}", exporter, timeout, environment)

    def expect_sent(self, receiver, **settings):
        replay = self.replay(**settings)
        expect(replay.sent, f"not sent: {replay.sentences()}")
        expect_equal(len(receiver.distinct()), RECORDS, "spans at the receiver")
        receiver.kill()
        return replay

    def expect_refused(self, receiver, *words, **settings):
        for timeout in ("2s", PATIENT):  # the whole time is waited; a busy machine needs the longer one
            replay = self.replay(timeout, **settings)
            expect(not replay.sent, "it was sent")
            told = replay.sentences()
            if told and any(word in told[0] for word in words):
                break
        else:
            raise AssertionError(f"{words} is not in {told or replay.said[-800:]}")
        expect_equal(receiver.spans(), [], "spans at the receiver")
        receiver.kill()


def certificates(setup):
    setup.expect_sent(setup.receiver())
    setup.expect_refused(setup.receiver(), "unable to get local issuer certificate", "self-signed certificate",
                         **{"tls.ca_cert": setup.file("other.pem")})
    setup.expect_refused(setup.receiver("expired"), "certificate has expired")
    setup.expect_refused(setup.receiver("named"), "matches target host name")
    # Without tls.ca_cert the system's authorities count.
    setup.expect_refused(setup.receiver(), "unable to get local issuer certificate", **{"tls.ca_cert": ""})
    for certificate in ("named", "expired"):
        setup.expect_sent(setup.receiver(certificate), **{"tls.insecure_skip_verify": True})


def client_certificates(setup):
    asking = {"TLS_CLIENT_CA": setup.file("ca.pem")}
    setup.expect_refused(setup.receiver(**asking), "certificate required", "wants a client certificate")
    setup.expect_refused(setup.receiver(**asking), "unknown ca", "refuses the client certificate",
                         **client_files(setup.certificates, "other"))
    setup.expect_sent(setup.receiver(**asking), **client_files(setup.certificates))
    setup.expect_sent(setup.receiver(**asking), **{"tls.insecure_skip_verify": True}, **client_files(setup.certificates))


def authentication(setup):
    basic = f"user:{SECRET}"
    basic_header = {"AUTHORIZATION": "Basic " + base64.b64encode(basic.encode()).decode()}
    bearer_header = {"AUTHORIZATION": f"Bearer {SECRET}"}
    for name, text in (("basic", basic), ("bearer", SECRET)):
        (setup.certificates / name).write_text(text + "\n")
        header = basic_header if name == "basic" else bearer_header
        credentials = {"CREDENTIALS_DIRECTORY": str(setup.certificates), "PATH": "/usr/bin"}
        replays = [
            setup.expect_sent(setup.receiver(**header), **{f"auth.{name}": text}),
            setup.expect_sent(setup.receiver(**header), **{f"auth.{name}_file": setup.file(name)}),
            setup.expect_sent(setup.receiver(**header), environment=credentials, **{f"auth.{name}_credential": name}),
        ]
        receiver = setup.receiver(**header)
        replay = setup.replay(**{f"auth.{name}": text.replace("W0rd", "Wr0ng")})
        told = replay.sentences()
        expect(told and "refused for good" in told[0], f"a wrong secret: {told}")
        expect_equal(receiver.spans(), [], "spans at the receiver")
        receiver.kill()
        for said in (*(replay.said for replay in replays), replay.said):
            expect("s3cret" not in said and basic_header["AUTHORIZATION"][6:] not in said, "a secret is in the log")
    broken = setup.replay(**{"auth.bearer_file": setup.file("ca.key")})
    expect("auth.bearer_file" in broken.said and "not a secret" in broken.said, f"a file of many lines: {broken.said}")
    expect("PRIVATE" not in broken.said, "a secret is in the log")


def main():
    rig = Rig()
    for protocol in ("grpc", "http/protobuf"):
        name = protocol.partition("/")[0]
        for what in (certificates, client_certificates, authentication):
            with rig.case(f"{what.__name__.replace('_', ' ')}, {name}") as case:
                what(Setup(rig, case, protocol))
    rig.end()


if __name__ == "__main__":
    main()
