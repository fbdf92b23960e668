# SPDX-License-Identifier: Apache-2.0
"""OTLP receivers for the integration tests: over gRPC the program otlp_receiver, over HTTP the one below. Both answer
their requests with words in turn and write down what they take.

    otlp_receivers.py PORT OUTPUT [WORD...]   the one over HTTP; words are ok, a status such as 503 or 400, a status
                                              and a Retry-After such as 429=1, hang, cut (the connection, in the
                                              middle of the request), lost (taken, then cut), partial=N, slow=MS,
                                              limit=N (413 for more than N octets)
"""
import gzip
import http.server
import itertools
import os
import pathlib
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import otlp_spans  # noqa: E402


def varint(value):
    octets = b""
    while value >= 0x80:
        octets += bytes([value & 0x7F | 0x80])
        value >>= 7
    return octets + bytes([value])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    words = itertools.cycle(["ok"])
    output = None
    most_file = None
    lock = threading.Lock()
    under_way = most = 0
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _answer(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _take(self, body):
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        os.write(self.output, struct.pack(">I", len(body)) + body)

    def do_HEAD(self):
        self._answer(405)

    def do_POST(self):
        self._note_under_way(1)
        try:
            self._answer_post()
        finally:
            self._note_under_way(-1)

    @classmethod
    def _note_under_way(cls, change):
        """How many requests are under way at once, at most, is in a file."""
        with cls.lock:
            cls.under_way += change
            if cls.under_way > cls.most:
                cls.most = cls.under_way
                cls.most_file.write_text(f"{cls.most}\n")

    def _answer_post(self):
        wanted = os.environ.get("AUTHORIZATION")
        word = next(self.words)
        word, _, number = word.partition("=")
        if word == "cut":
            self.rfile.read(100)
            self.close_connection = True
            self.connection.close()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if wanted and self.headers["Authorization"] != wanted:
            self._answer(401)
        elif self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            self._answer(404)
        elif word == "hang":
            self.rfile.read(1)
        elif word == "limit" and int(self.headers["Content-Length"]) > int(number):
            self._answer(413)
        elif word.isdigit():
            self._answer(int(word), **({"Retry_After": number} if number else {}))
        else:
            self._take(body)
            if word == "slow":
                time.sleep(int(number) / 1000)
            if word == "lost":
                self.close_connection = True
            elif word == "partial":
                partial = b"\x08" + varint(int(number)) + b"\x12\x03why"
                self._answer(200, b"\x0a" + varint(len(partial)) + partial)
            else:
                self._answer(200)


def serve(port, output, words):
    Handler.words = itertools.cycle(words or ["ok"])
    Handler.most_file = pathlib.Path(output + ".most")
    Handler.output = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    if "TLS_CERT" in os.environ:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.environ["TLS_CERT"], os.environ["TLS_KEY"])
        if "TLS_CLIENT_CA" in os.environ:
            context.load_verify_locations(os.environ["TLS_CLIENT_CA"])
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("listening", flush=True)
    server.serve_forever()


class Receiver:
    """One receiver of a namespace, with the words that it answers with."""

    PORTS = {"grpc": 4317, "http/protobuf": 4318}

    def __init__(self, namespace, programs, folder, protocol, words=(), **environment):
        folder.mkdir(parents=True, exist_ok=True)
        self.protocol = protocol
        self.port = self.PORTS[protocol]
        self.output = folder / "requests"
        self._namespace = namespace
        self._command = ([programs / "otlp_receiver"] if protocol == "grpc" else [sys.executable, __file__])
        self._words = list(words)
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self):
        self._process = self._namespace.start([*self._command, self.port, self.output, *self._words],
                                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                              env=self._environment)
        if not self._process.stdout.readline().startswith(b"listening"):
            raise AssertionError("the OTLP receiver does not listen")

    def kill(self):
        self._process.kill()
        self._process.wait(timeout=20)

    def wait_for_spans(self, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.spans() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.spans()

    def spans(self):
        return otlp_spans.read_file(self.output)

    def most_at_once(self):
        """How many requests were under way at once, at most."""
        return int(self.output.with_name(self.output.name + ".most").read_text())

    def distinct(self):
        """The spans, each once; the same span id is the same record."""
        return list({(span["trace_id"], span["span_id"]): span for span in self.spans()}.values())


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3:])
