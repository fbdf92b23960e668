# SPDX-License-Identifier: Apache-2.0
"""Builds rheo and runs its tests, kind by kind; prints one summary. Called by tests/run, which installs what is
needed."""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
CPUS = os.cpu_count() or 1
CTEST_KINDS = ("unit", "check", "golden", "bpf")
PRESETS = {"unit-asan": "asan", "golden-asan": "asan", "unit-tsan": "tsan", "fuzz": "fuzz"}  # `dev` for all others
PACKAGE = "package"  # what packaging/build-deb --here makes: the release, as users install it
INTEGRATION_SECONDS = 900  # one script; --long multiplies
INTEGRATION_AT_ONCE = 2
INTEGRATION_FIRST = ("otlp", "otlp_faults", "interfaces")  # the longest; otlp builds a Collector, once
INTEGRATION_ALONE = ("bad_input",)  # counts the machine's BPF objects
LONG_OPTIONS = {"kill": ["--kills", "2000"], "otlp_faults": ["--away", "60"], "rpm": ["--long"], "package": ["--long"],
                "kernels": ["--connections", "500", "--many", "50000"]}  # of each, 100,000 on each kernel
LONG_ONLY = ("owners_machine",)
SYSTEM_SECONDS = 900  # downloads included, the first time
SYSTEM_LANES = (("service", "owners_truth", "package", "rpm"), ("kernels", "owners_machine"))  # beside each other; each in its order
FUZZERS_SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}

# status is "passed", "failed" or "skipped"; the reason says why where it is not the first.
Outcome = collections.namedtuple("Outcome", "status name reason", defaults=("",))


def clang(tool):
    """Debian's own clang tools carry their version in their names."""
    return shutil.which(f"{tool}-19") or shutil.which(tool)


def run_to_end(command, seconds, log=None, **options):
    """Exit status and combined output; at the time limit the whole process group is killed."""
    command = [str(part) for part in command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, errors="replace", start_new_session=True, cwd=TOP, **options) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            code, output = -1, f"{output}\nkilled after {seconds} s"
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(output)
    return code, output


def at_lowest_priority(command):
    """Where the kernel groups processes by session, as run_to_end() starts them, it is the group's niceness that counts."""
    return ["sh", "-c", "[ ! -e /proc/self/autogroup ] || echo 19 >/proc/self/autogroup; exec nice -n 19 \"$@\"", "sh", *command]


def last_line(output):
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines else "no output"


class Builds:
    """The presets, each configured and built once, when the first kind needs it. Of the sanitizers' presets only what
    their kinds run: rheod and the unit tests, or the fuzzers."""

    def __init__(self):
        self._results = {}
        self._locks = {preset: threading.Lock() for preset in ("dev", PACKAGE, *PRESETS.values())}

    @staticmethod
    def _targets(preset):
        if preset == "fuzz":
            return ["--target", *sorted(path.stem for path in (TOP / "tests" / "fuzz").glob("*_fuzz.cpp"))]
        if preset not in ("asan", "tsan"):
            return []
        tests = sorted(path.stem.removesuffix("_test") for path in (TOP / "tests" / "unit").glob("*_test.cpp"))
        return ["--target", "rheod", *(f"unit_{name}" for name in tests)]

    def build(self, preset):
        """Why the preset cannot be had, or None."""
        with self._locks[preset]:
            if preset not in self._results:
                started = time.monotonic()
                self._results[preset] = self._build(preset)
                print(f"== build {preset}: {self._results[preset] or 'done'} ({time.monotonic() - started:.0f} s)",
                      flush=True)
            return self._results[preset]

    def _build(self, preset):
        if preset == PACKAGE:
            log = TOP / "build" / "packages" / "host.log"
            code, output = run_to_end(at_lowest_priority([TOP / "packaging" / "build-deb", "--here"]), 3600, log)
            return None if code == 0 else f"{last_line(output)}, see {log.relative_to(TOP)}"
        launcher = shutil.which("ccache") or ""
        configure = ["cmake", "--preset", preset, f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"]
        if preset == "fuzz":
            configure += [f"-DCMAKE_C_COMPILER={clang('clang')}", f"-DCMAKE_CXX_COMPILER={clang('clang++')}"]
        for command in (configure, ["cmake", "--build", TOP / "build" / preset, *self._targets(preset)]):
            log = TOP / "build" / f"{preset}.log"
            code, output = run_to_end(command if preset == "dev" else at_lowest_priority(command), 3600, log)
            if code != 0:
                print(output[-6000:])
                return f"the build of preset {preset} failed, see {log.relative_to(TOP)}"
        return None


class Kinds:
    """Every kind of evidence: a method for each gives its outcomes."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.builds = Builds()
        self._beside = concurrent.futures.ThreadPoolExecutor(1)
        self._tidied = None

    def start_beside(self, wanted):
        """Starts what needs nothing but processor time, at the lowest priority: most tests wait most of the time."""
        if "tidy" in wanted:
            self._tidied = self._beside.submit(self._tidy)
        if {"system", "package"} & set(wanted):
            self._beside.submit(self.builds.build, PACKAGE)
        for preset in dict.fromkeys(PRESETS[kind] for kind in wanted if kind in PRESETS):
            self._beside.submit(self.builds.build, preset)

    def all(self):
        kinds = {kind: (lambda kind=kind: self.ctest(kind, "dev")) for kind in CTEST_KINDS}
        kinds["integration"] = self.integration
        kinds["system"] = self.system
        kinds["tidy"] = lambda: self._tidied.result()
        kinds["unit-asan"] = lambda: self.ctest("unit", "asan")
        kinds["golden-asan"] = lambda: self.ctest("golden", "asan")
        if self.arguments.long:
            kinds["unit-tsan"] = lambda: self.ctest("unit", "tsan")
        kinds["package"] = self.package
        kinds["fuzz"] = self.fuzz
        kinds["bench"] = self.bench
        return kinds

    def ctest(self, label, preset):
        if problem := self.builds.build(preset):
            return [Outcome("failed", preset, problem)]
        folder = TOP / "build" / preset
        report = folder / f"{label}.xml"
        report.unlink(missing_ok=True)
        # What touches the kernel counts packets and attaches programs: one at a time.
        jobs = 1 if label == "bpf" else CPUS
        run_to_end(["ctest", "--test-dir", folder, "-L", f"^{label}$", "-j", jobs, "--timeout", 300,
                    "--output-on-failure", "--output-junit", report], 1800, folder / f"{label}.log")
        if not report.exists():
            return [Outcome("failed", label, f"ctest wrote no report, see {folder}/{label}.log")]
        outcomes = [self._ctest_outcome(case) for case in xml.etree.ElementTree.parse(report).iter("testcase")]
        return outcomes or [Outcome("failed", label, f"preset {preset} has no tests of this kind")]

    @staticmethod
    def _ctest_outcome(case):
        output = case.findtext("system-out") or ""
        if case.get("status") == "run":
            return Outcome("passed", case.get("name"))
        if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            said = re.search(r"(?:Skipped|SKIP(?:PED)?:?)\n?\s*(.+)", output)
            reason = said[1].strip() if said else last_line(output)
            if "[  SKIPPED" in output or "skip" in output.lower():
                return Outcome("skipped", case.get("name"), reason)
            return Outcome("failed", case.get("name"), f"did not run: {reason}")
        print(output[-3000:])
        return Outcome("failed", case.get("name"), Kinds._failure_line(output))

    @staticmethod
    def _failure_line(output):
        lines = [line.strip() for line in output.splitlines() if re.search(r"Failure|ERROR|rror:|timeout", line)]
        return (lines or [last_line(output)])[0][:300]

    def _tidy(self):
        """clang-tidy over the daemon's own C++, by the compile commands of `dev`."""
        if problem := self.builds.build("dev"):
            return [Outcome("failed", "dev", problem)]
        commands = json.loads((TOP / "build" / "dev" / "compile_commands.json").read_text())
        compiled = sorted({entry["file"] for entry in commands})
        checked = [file for file in compiled if os.path.relpath(file, TOP).split("/")[0] in ("daemon", "netlink", "export")]
        with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
            return list(pool.map(self._tidy_file, checked))

    @staticmethod
    def _tidy_file(file):
        name = os.path.relpath(file, TOP)
        # g++'s options that clang does not know are no findings.
        code, output = run_to_end(at_lowest_priority([clang("clang-tidy"), "--quiet", "-p", TOP / "build" / "dev",
                                                      "--extra-arg=-Wno-unknown-warning-option", file]), 900)
        if code == 0:
            return Outcome("passed", name)
        finding = re.search(r"^.*: (?:error|warning): .*$", output, re.M)
        return Outcome("failed", name, finding[0] if finding else last_line(output))

    def integration(self):
        if problem := self.builds.build("dev"):
            return [Outcome("failed", "dev", problem)]
        # What is not executable is imported by the others. Most of a script's time is spent waiting, and each has
        # namespaces and directories of its own.
        scripts = [script for script in sorted((TOP / "tests" / "integration").glob("*.py")) if os.access(script, os.X_OK)]
        scripts.sort(key=lambda script: script.stem not in INTEGRATION_FIRST)
        alone = [script for script in scripts if script.stem in INTEGRATION_ALONE]
        with concurrent.futures.ThreadPoolExecutor(INTEGRATION_AT_ONCE) as pool:
            results = list(pool.map(self._integration_script, [script for script in scripts if script not in alone]))
        results += map(self._integration_script, alone)
        return [outcome for outcomes in results for outcome in outcomes]

    def _integration_script(self, script):
        options = LONG_OPTIONS.get(script.stem, []) if self.arguments.long else []
        return self._script(script, options, INTEGRATION_SECONDS * (10 if self.arguments.long else 1))

    def system(self):
        """A booted systemd; the packages on it; other kernels, booted: each briefly, or with --long in every case."""
        for preset in ("dev", PACKAGE):
            if problem := self.builds.build(preset):
                return [Outcome("failed", preset, problem)]
        with concurrent.futures.ThreadPoolExecutor(len(SYSTEM_LANES)) as pool:
            lanes = pool.map(self._system_lane, SYSTEM_LANES)
        return [outcome for outcomes in lanes for outcome in outcomes]

    def _system_lane(self, names):
        wanted = [name for name in names if self.arguments.long or name not in LONG_ONLY]
        return [outcome for name in wanted for outcome in self._system_script(name)]

    def _system_script(self, name):
        options = LONG_OPTIONS.get(name, []) if self.arguments.long else ["--short"]
        return self._script(TOP / "tests" / "system" / f"{name}.py", ["--build", TOP / "build" / "dev", *options],
                            SYSTEM_SECONDS * (10 if self.arguments.long else 1))

    def package(self):
        """What the Debian package is; with --long also of other releases and of arm64."""
        if problem := self.builds.build(PACKAGE):
            return [Outcome("failed", PACKAGE, problem)]
        long = self.arguments.long
        return self._script(TOP / "tests" / "system" / "deb.py", ["--long"] if long else [], SYSTEM_SECONDS * (40 if long else 1))

    @staticmethod
    def _script(script, options, seconds):
        """Runs a test that reports its cases as tests/integration/rig.py does."""
        log = TOP / "build" / "dev" / script.parent.name / f"{script.stem}.log"
        started = time.monotonic()
        code, output = run_to_end([sys.executable, script, *options], seconds, log)
        found = [Outcome(*match) for match in re.findall(r"^(passed|failed|skipped): ([^:]+: [^:\n]+)(?:: (.*))?$",
                                                         output, re.M)]
        if code != 0 and not any(outcome.status == "failed" for outcome in found):
            found.append(Outcome("failed", script.stem, f"exit {code}: {last_line(output)}"))
        for outcome in found:
            if outcome.status != "passed":
                print(f"   {outcome.status}: {outcome.name} {outcome.reason}", flush=True)
        print(f"   {script.stem}: {len(found)} cases ({time.monotonic() - started:.0f} s)", flush=True)
        return found or [Outcome("failed", script.stem, "reported nothing")]

    def fuzz(self):
        if problem := self.builds.build("fuzz"):
            return [Outcome("failed", "fuzz", problem)]
        fuzzers = sorted((TOP / "build" / "fuzz" / "bin").glob("*_fuzz"))
        if not fuzzers:
            return [Outcome("failed", "fuzz", "no fuzzers were built")]
        with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
            return list(pool.map(self._fuzz_one, fuzzers))

    def _fuzz_one(self, fuzzer):
        seconds = self.arguments.fuzz_seconds
        folder = TOP / "build" / "fuzz" / "found" / fuzzer.name
        folder.mkdir(parents=True, exist_ok=True)
        seeds = TOP / "tests" / "fuzz" / "corpus" / fuzzer.name.removesuffix("_fuzz")
        command = [fuzzer, folder, *([seeds] if seeds.is_dir() else []), f"-max_total_time={seconds}", "-timeout=10",
                   "-rss_limit_mb=3072", "-print_final_stats=1", f"-artifact_prefix={folder.parent}/{fuzzer.name}-"]
        code, output = run_to_end(command, seconds + 120, TOP / "build" / "fuzz" / f"{fuzzer.name}.log",
                                  env={**os.environ, **FUZZERS_SANITIZERS})
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
        if code == 0 and runs and int(runs[1]) > 0:
            return Outcome("passed", fuzzer.name, f"{runs[1]} inputs in {seconds} s")
        found = re.search(r"^.*(?:ERROR|runtime error|SUMMARY).*$", output, re.M)
        return Outcome("failed", fuzzer.name, found[0] if found else last_line(output))

    def bench(self):
        """Benchmarks fail when they cannot measure; bus_clients also where its figure breaks a promise. The other figures
        are for people to judge."""
        self._beside.shutdown(wait=True)
        if problem := self.builds.build("dev"):
            return [Outcome("failed", "dev", problem)]
        outcomes = []
        for program in sorted((TOP / "tests" / "bench").iterdir()):
            if program.suffix or not program.is_file() or not os.access(program, os.X_OK):
                continue
            short = [] if self.arguments.long else ["--short"]
            code, output = run_to_end([program, *short, "--build", TOP / "build" / "dev"], 1800,
                                      TOP / "build" / "dev" / "bench" / f"{program.name}.log")
            try:
                figures = json.loads(last_line(output)) if code == 0 else None
            except ValueError:
                figures = None
            if figures is None:
                outcomes.append(Outcome("failed", program.name, f"exit {code}: {last_line(output)}"))
                continue
            print(output, flush=True)
            outcomes.append(Outcome("passed", program.name))
        return outcomes or [Outcome("failed", "bench", "no benchmarks")]


def summarize(results):
    """The one summary; True when nothing failed."""
    print("\n== Summary")
    print(f"{'kind':<14}{'passed':>8}{'failed':>8}{'skipped':>9}")
    total = collections.Counter()
    for kind, outcomes in results.items():
        count = collections.Counter(outcome.status for outcome in outcomes)
        total += count
        print(f"{kind:<14}{count['passed']:>8}{count['failed']:>8}{count['skipped']:>9}")
    for status in ("skipped", "failed"):
        for kind, outcomes in results.items():
            for outcome in outcomes:
                if outcome.status == status:
                    print(f"{status}: {kind}: {outcome.name}: {outcome.reason or 'no reason given'}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return total["failed"] == 0 and total["passed"] > 0


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__)
    parser.add_argument("--only", metavar="KIND", help="kinds, with commas: unit, check, golden, bpf, integration, "
                        "system, tidy, unit-asan, golden-asan, unit-tsan (with --long), package, fuzz, bench")
    parser.add_argument("--fuzz-seconds", type=int, default=60, metavar="N", help="for each fuzzer (default 60)")
    parser.add_argument("--long", action="store_true", help="soaks, full benchmarks, ThreadSanitizer too")
    arguments = parser.parse_args()
    evidence = Kinds(arguments)
    kinds = evidence.all()
    wanted = arguments.only.split(",") if arguments.only else list(kinds)
    if unknown := [kind for kind in wanted if kind not in kinds]:
        parser.error(f"--only {','.join(unknown)}: not one of {', '.join(kinds)}")
    evidence.start_beside(wanted)
    results = {}
    for kind in wanted:
        started = time.monotonic()
        print(f"== {kind}", flush=True)
        results[kind] = kinds[kind]()
        failed = sum(outcome.status == "failed" for outcome in results[kind])
        print(f"== {kind}: {len(results[kind])} tests, {failed} failed ({time.monotonic() - started:.0f} s)", flush=True)
    sys.exit(0 if summarize(results) else 1)


if __name__ == "__main__":
    main()
