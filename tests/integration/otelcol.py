# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector: its OTLP receiver over gRPC and HTTP, its debug exporter, built once from Debian's
golang packages into a folder of the build. It takes some 300 MB of downloads and three minutes, then 29 MB."""
import fcntl
import os
import pathlib
import re
import shutil
import time

from rig import Skipped, expect  # also puts tests/tools on the path
from debian_suite import Suite, Unavailable, run

PROGRAM = """package main

import (
	"log"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

func factories() (otelcol.Factories, error) {
	var all otelcol.Factories
	var err error
	all.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
	if err != nil {
		return all, err
	}
	all.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](debugexporter.NewFactory())
	all.Telemetry = otelconftelemetry.NewFactory()
	return all, err
}

func main() {
	settings := otelcol.CollectorSettings{Factories: factories}
	settings.ConfigProviderSettings.ResolverSettings = confmap.ResolverSettings{
		DefaultScheme:     "file",
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
	}
	if err := otelcol.NewCommand(settings).Execute(); err != nil {
		log.Fatal(err)
	}
}
"""

CONFIG = """receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:4317"{tls}}}
      http: {{endpoint: "127.0.0.1:4318"{tls}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}, metrics: {{receivers: [otlp], exporters: [debug]}}}}
"""


def fetch(cache):
    """The collector's program; raises Skipped where it cannot be had."""
    program = pathlib.Path(cache) / "otelcol"
    program.parent.mkdir(parents=True, exist_ok=True)
    with open(program.parent / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test may be building it
        if program.exists():
            return program
        try:
            return _build(program, pathlib.Path(cache) / "work")
        except Unavailable as reason:
            raise Skipped(f"no OpenTelemetry Collector: {reason}") from reason


def _build(program, work):
    shutil.rmtree(work, ignore_errors=True)
    source = Suite("sid", work)
    packages = source.needed_by("golang-opentelemetry-collector-dev", "golang-go")
    root = work / "root"
    for deb in source.download([name for name in packages if name.startswith("golang-")], seconds=600):
        run(["dpkg", "-x", deb, root], 60)
    main = work / "gopath" / "src" / "otelcol"
    main.mkdir(parents=True)
    (main / "main.go").write_text(PROGRAM)
    go = sorted(root.glob("usr/lib/go-1.*/bin/go"))
    if not go:
        raise Unavailable("no go in the packages")
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0",
                   "GOPATH": f"{work}/gopath:{root}/usr/share/gocode", "GOCACHE": str(work / "cache")}
    run([go[-1], "build", "-trimpath", "-ldflags", "-s -w", "-o", work / "otelcol", "."], 600, cwd=main, env=environment)
    (work / "otelcol").rename(program)  # last: what is there is whole
    shutil.rmtree(work, ignore_errors=True)
    return program


class Collector:
    """A collector of a namespace; on both transports at their usual ports."""

    def __init__(self, namespace, program, folder, tls=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        config = folder / "config.yaml"
        parts = "".join(f", {key}: {value}" for key, value in (tls or {}).items())
        config.write_text(CONFIG.format(tls=f", tls: {{{parts[2:]}}}" if parts else ""))
        with open(self.log, "wb") as log:
            self._process = namespace.start([program, "--config", f"file:{config}"], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while "Everything is ready" not in self.said():
            expect(self._process.poll() is None and time.monotonic() < deadline,
                   f"the collector does not start: {self.said()[-500:]}")
            time.sleep(0.02)

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=60)

    def spans(self):
        """What the debug exporter printed: attributes of each span, their values as it writes them."""
        return [read_span(part) for part in re.split(r"^Span #\d+$", self.said(), flags=re.M)[1:]]


def read_value(text):
    """Str(x), Int(5), Slice(["a"]) and so on."""
    kind, _, rest = text.partition("(")
    value = rest[:-1]
    if kind == "Int":
        return int(value)
    if kind == "Slice":
        return re.findall(r'"([^"]*)"', value)
    return value


def read_span(text):
    head, _, attributes = text.partition("Attributes:\n")
    fields = dict(re.findall(r"^ {4}([\w ]+?) *: (.*)$", head, re.M))
    found = re.match(r"(?: +-> .*\n)*", attributes)[0]
    return {"trace_id": fields["Trace ID"], "span_id": fields["ID"], "name": fields["Name"], "kind": fields["Kind"],
            "start": fields["Start time"], "end": fields["End time"],
            "attributes": {name: read_value(value) for name, value in re.findall(r"-> ([\w.]+): (.*)$", found, re.M)}}
