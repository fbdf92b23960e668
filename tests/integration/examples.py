#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every example of README.md, docs/ and the manual pages is run. A page is followed from its top to its end on a host
of its own: a network namespace with eth0 and a web server behind it, a system bus, /etc, /run and /var that are thrown
away. Its files are written, every TOML passes `rheod --check`, every command runs and prints what the page shows.

    tests/integration/examples.py [--build DIR] [--only docs/nfdump.md] [--print]

Commands print what the page shows but for numbers, times and identifiers; a line "…" stands for any lines. What is not
there at once is asked for again: records are written when flows have ended."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import otelcol
from bus import Bus, named, wait_for
from page_blocks import commands_of_text, followed_blocks, target_of
from rig import TOP, Rig, Skipped, expect, expect_equal, mount, run

PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (TOP / "docs").glob("*.md")),
         *sorted(f"man/{page.name}" for page in (TOP / "man").glob("*.scd") if not page.name.startswith("org.")))
AT_ONCE = 4  # they wait, most of the time
PATIENCE_SECONDS = 180  # a flow ends 5 s after its FIN
SECONDS_OF_A_COMMAND = 60
PROGRAM_OF = {"otelcol": lambda rig: otelcol.fetch(rig.arguments.build.resolve().parent / "cache" / "otelcol")}
# What cannot be run here, and who does it: the test of the installed package, in a booted systemd.
ELSEWHERE = re.compile(r"(apt|apt-get|dnf|rpm|packaging/\S+|cmake|ctest|tests/\S+|systemctl (?!(?:restart|reload|enable|stop)\b).*)\b")
OF_ROOT = 'Running as user "root"'  # tshark says so, and a reader is not root
WITHOUT_CASES = "has no example to run"


def alike(line):
    """Without what differs from host to host and from run to run."""
    line = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?Z| UTC| \+0000)?", "TIME", line)
    line = re.sub(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC", line)
    line = re.sub(r"\b1:[A-Za-z0-9+/]{27}=", "COMMUNITY", line)
    line = re.sub(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{16,32}\b", "ID", line)
    line = re.sub(r"\bv\d+\b", "vN", line)  # a schema
    # 0 is a statement: nothing lost, nothing waiting.
    line = re.sub(r"\b(?:0x)?\d(?:[\d,.:]*\d)?(?: ?(?:[kMG]i?B?|B)\b)?", lambda found: found[0] if found[0] == "0" else "N", line)
    return " ".join(line.split())


def shows(printed, wanted):
    """Whether what was printed is what the page has; "…" is any number of lines."""
    lines = [alike(line) for line in printed.strip().splitlines() if line.strip() and not line.startswith(OF_ROOT)]
    pattern = "".join(r"(?:.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in map(alike, wanted))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


class Host:
    """What a newcomer sits at: commands run in the near namespace, files of /etc and /var are its own."""

    def __init__(self, rig, case, show):
        self.rig, self.show = rig, show
        self.rheod = None
        self.home = rig.case_folder(case) / "home"
        self.home.mkdir(parents=True)
        for top in ("/etc", "/var"):
            self._cover(top)
        mount("bpf", "/sys/fs/bpf")
        Bus(rig, case).start()
        self.near, self.far = rig.namespace("near"), rig.namespace("far")
        rig.veth(self.near, "eth0", self.far, "west")
        for namespace, link, address in ((self.near, "eth0", "192.0.2.7/24"), (self.far, "west", "192.0.2.1/24")):
            namespace.run(["ip", "address", "add", address, "dev", link])
        self._install()
        self._serve()

    def _cover(self, top):
        upper = self.rig.folder / "covers" / top.strip("/")
        for part in ("upper", "work"):
            (upper / part).mkdir(parents=True)
        run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={top},upperdir={upper}/upper,workdir={upper}/work", top])

    def _install(self):
        programs = self.home.parent / "bin"
        programs.mkdir()
        for name in ("rheod", "rheoctl"):
            (programs / name).symlink_to(Rig.programs / name)
        # A page says sudo, as a user does; here everything is root's.
        (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
        (programs / "sudo").chmod(0o755)
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        self.programs = programs
        for folder in ("/etc/rheo/rheo.toml.d", "/var/log/rheo", "/var/lib/rheo"):
            os.makedirs(folder, exist_ok=True)
        shutil.copy(TOP / "etc" / "rheo.toml", "/etc/rheo/rheo.toml")

    def _serve(self):
        site = self.home.parent / "site"
        site.mkdir()
        (site / "index.html").write_text("x" * 100_000)
        with open(site / "large.iso", "wb") as large:
            large.truncate(64 << 20)
        server = self.far.start([sys.executable, "-m", "http.server", "--directory", site, "80"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.rig.at_end_of_case(server.kill)
        wait_for(lambda: ":80 " in self.far.run(["ss", "-Hltn"]), "web server")

    def service(self, verb):
        """What systemd does: here no systemd runs, so the test does it."""
        if verb == "reload":
            return self.run_once("rheoctl reload")
        if self.rheod and self.rheod.poll() is None:
            self.rheod.terminate()
            expect_equal(self.rheod.wait(timeout=60), 0, "rheod's exit status")
            self.rheod = None
        if verb == "stop":
            return 0, ""
        log = self.home.parent / "stderr.rheod"
        with open(log, "wb") as said:
            self.rheod = self.near.start([Rig.programs / "rheod"], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.rig.at_end_of_case(self.rheod.kill)
        wait_for(lambda: named() or self.rheod.poll() is not None, "rheod on the bus", PATIENCE_SECONDS)
        expect(self.rheod.poll() is None, f"rheod ended: {log.read_text()[-400:]}")
        return 0, ""

    def run_once(self, command):
        shell = self.near.start(["bash", "-c", command], cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            printed, _ = shell.communicate(timeout=SECONDS_OF_A_COMMAND)
        except subprocess.TimeoutExpired as late:
            os.killpg(shell.pid, 9)
            raise AssertionError(f"{command}: not done after {SECONDS_OF_A_COMMAND} s") from late
        return shell.returncode, printed

    def start_beside(self, command):
        """A program that goes on: COMMAND & in a page."""
        log = self.home.parent / f"stderr.{len(list(self.home.parent.glob('stderr.*')))}"
        with open(log, "wb") as said:
            beside = self.near.start(["bash", "-c", f"exec {command}"], cwd=self.home, stdin=subprocess.DEVNULL, stdout=said,
                                     stderr=said)
        self.rig.at_end_of_case(beside.kill)
        # Until it has a socket that is bound, to listen or to speak.
        wait_for(lambda: beside.poll() is not None or f"pid={beside.pid}," in self.near.run(["ss", "-Htuanp"]),
                 f"socket of {command}", PATIENCE_SECONDS)
        expect(beside.poll() is None, f"{command}: ended: {log.read_text(errors='replace')[-300:]}")

    def do(self, command, wanted):
        plain = re.sub(r"^sudo ", "", command)
        if ELSEWHERE.match(plain):
            return
        program = re.match(r"[\w.-]+", plain)
        if program and program[0] in PROGRAM_OF and not (self.programs / program[0]).exists():
            (self.programs / program[0]).symlink_to(PROGRAM_OF[program[0]](self.rig))
        if program and not shutil.which(program[0]):
            raise Skipped(f"no {program[0]}")
        if command.endswith(" &"):
            self.start_beside(plain.removesuffix(" &"))
            return
        if service := re.fullmatch(r"systemctl (restart|reload|stop|enable)(?: --now)? rheod", plain):
            self._expect_printed(command, wanted, lambda: self.service(service[1]))
            return
        if plain.startswith("journalctl "):  # that it is understood: no journal is kept here
            plain = f"{plain.split('|')[0]} --directory={self.home} "
            wanted = ["…"]
        self._expect_printed(command, wanted, lambda: self.run_once(plain))

    def _expect_printed(self, command, wanted, action):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            late = time.monotonic() > deadline
            code, printed = action()
            good = code == 0 or wanted not in ([], ["…"])  # what fails on purpose shows its sentence
            if good and shows(printed, wanted):
                break
            if self.show and not wanted:
                break  # a page that is being written
            expect(wanted and not late, f"{command}: exit {code}, prints {printed!r}, the page has {wanted}")
            time.sleep(0.3)
        if self.show:
            print(f"$ {command}\n{printed}", end="", flush=True)


def follow(host, page):
    """Runs a page's blocks in their order; how many examples it had."""
    text = (TOP / page).read_text()
    count = 0
    for language, body in followed_blocks(page, text):
        if language == "console":
            commands = list(commands_of_text(body))
            shows_nothing = not any(wanted for _, wanted in commands)  # then it says what to type, and no more
            for command, wanted in commands:
                host.do(command, ["…"] if shows_nothing else wanted)
                count += 1
        elif target := target_of(body):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            pathlib.Path(target).write_text(body)
            count += 1
        if language == "toml":
            check_toml(host, body)
            count += 1
    return count


def check_toml(host, body):
    file = host.home.parent / "example.toml"
    file.write_text(body)
    for secret in re.findall(r'"(/etc/rheo/[\w.-]+)"', body):  # --check reads what the settings name
        pathlib.Path(secret).write_text("secret\n")
    code, printed = host.run_once(f"rheod --check --config {file}")
    expect_equal(code, 0, f"exit status of rheod --check on {body[:60]!r}: {printed}")


def needs_rheod(page):
    """These suppose that rheod runs; a recipe starts it itself."""
    return page.startswith("man/") or page == "docs/troubleshooting.md"


def run_page(rig, page):
    with rig.case(page) as case:
        host = Host(rig, case, rig.arguments.print)
        if needs_rheod(page):
            host.service("restart")
        count = follow(host, page)
        if count == 0:
            raise Skipped(WITHOUT_CASES)
        host.service("stop")


def run_all():
    """Each page in a process, since each has a mount namespace of its own."""
    def one(page):
        return subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", page], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False, timeout=850)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(pool.map(one, [page for page in PAGES if has_examples(page)]))
    for page in ended:
        print(page.stdout, end="", flush=True)
    return 1 if any(page.returncode for page in ended) else 0


def has_examples(page):
    return any(language in ("console", "toml") for language, _ in followed_blocks(page, (TOP / page).read_text()))


def main():
    if "--only" not in sys.argv and not {"-h", "--help"} & set(sys.argv):
        sys.exit(run_all())
    rig = Rig(lambda parser: (parser.add_argument("--only", choices=PAGES, metavar="PAGE", help="this page alone"),
                              parser.add_argument("--print", action="store_true", help="show what the commands print")))
    run_page(rig, rig.arguments.only)
    rig.end()


if __name__ == "__main__":
    main()
