#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheoctl against a real rheod on a private bus: every command as text and as JSON, mistakes, a terminal with a
pager, events as they happen, completion."""
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile

from bus import ORDINARY_UID, busctl, serve_cases, wait_for
from rig import TOP, Rig, Skipped, expect, expect_equal

BUS = "org.freedesktop.DBus"


def rheoctl(*words, uid=None, environment=None):
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    return subprocess.run([*user, Rig.programs / "rheoctl", *words], capture_output=True, text=True, timeout=60,
                          check=False, env={**os.environ, **(environment or {})})


def printed(*words):
    done = rheoctl(*words)
    expect_equal(done.returncode, 0, f"exit status of rheoctl {' '.join(words)}: {done.stderr}")
    expect_equal(done.stderr, "", f"standard error of rheoctl {' '.join(words)}")
    return done.stdout


def values(*words):
    return json.loads(printed("--json", *words))


def ask_bus(interface, member, *arguments):
    asked = busctl("--json=short", "call", BUS, "/org/freedesktop/DBus", interface, member, *arguments)
    return json.loads(asked.stdout)["data"][0] if asked.returncode == 0 else None


def monitors(process):
    """Whether a `rheoctl monitor` is told of signals: it asks for changes of names after everything else."""
    rules = ask_bus(f"{BUS}.Debug.Stats", "GetAllMatchRules")
    if rules is None:
        raise Skipped("this dbus-daemon does not tell who listens to what")
    return any(ask_bus(BUS, "GetConnectionUnixProcessID", "s", owner) == process.pid for owner, wanted in rules.items()
               if any("NameOwnerChanged" in rule for rule in wanted))


def commands(near, rheod):
    sent = near.send("east", "--packets", 3_000, "--flows", 30, "--protocols", "udp")
    printed("drain")
    wait_for(lambda: values("status")["active_flows"] == 30, "30 flows in rheoctl status")
    status = values("status")
    expect_equal((status["state"], status["config_path"], status["interfaces"], status["exporters"]),
                 ("running", str(rheod.config), 1, 1), "status")
    expect("Flows: 30\n" in printed(), f"no 'Flows: 30': {printed()}")
    expect_equal([row["name"] for row in values("interfaces")], ["east"], "interfaces")
    expect_equal(values("interfaces", "list")[0]["kind"], "veth", "kind of the interface")
    expect_equal([(row["name"], row["state"]) for row in values("exporters", "list")], [("json.test", "running")], "exporters")
    printed("exporters", "flush", "json.test")

    flows = values("flows", "udp", "and", "interface", "east")
    expect_equal(sum(flow["packets"] for flow in flows), sent["packets"], "packets of the flows")
    expect_equal(len(values("flows", "list", "udp and port 1-65535", "--limit", "4")), 4, "flows with --limit 4")
    expect_equal(values("flows", "tcp"), [], "flows of TCP")
    starts = [flow["started_at"] for flow in values("flows", "-s", "start")]
    expect_equal(starts, sorted(starts, reverse=True), "starts of the flows, sorted")
    for by, name in (("port", None), ("interface", "east"), ("unit", "-"), ("container", "-")):
        groups = values("flows", "--by", by, "udp")
        expect_equal(sum(group["packets"] for group in groups), sent["packets"], f"packets by {by}")
        expect(name is None or [group[by] for group in groups] == [name], f"groups by {by}: {groups}")
    expect_equal({group["class"]: group["packets"] for group in values("flows", "--by", "class", "udp")},
                 dict.fromkeys(("internal", "external"), sent["packets"]), "packets by class: the ends have one each")
    text = printed("flows", "-n", "2").splitlines()
    expect_equal((len(text), text[0].split()[:2]), (3, ["INTERFACE", "PROTOCOL"]), "lines of two flows and their titles")
    expect_equal(len(printed("--no-legend", "flows", "-n", "2").splitlines()), 2, "lines of two flows without titles")

    expect_equal(values("stats", "datapath.seen_packets"), [{"counter": "datapath.seen_packets", "value": sent["packets"]}],
                 "stats of one counter")
    expect("datapath.evicted_full" in {row["name"] for row in values("losses")}, "losses without evicted_full")
    printed("log-level", "debug")
    expect_equal(printed("log-level"), "debug\n", "log level")


def mistakes():
    for words, status, said in (
            (["nonsense"], 2, "nonsense: no such command"), (["--nonsense"], 2, "--nonsense: no such option"),
            (["status", "x"], 2, "x: not part of this command"), (["exporters", "flush"], 2, "which one?"),
            (["exporters", "flush", "json.none"], 1, "no exporter has this name"),
            (["flows", "tcp", "and", "x\x1b[2J"], 1, 'at "x?[2J" (word 3)'), (["flows", "-n", "0"], 1, "limit 0"),
            (["flows", "--by", "size"], 2, "--by size: not one of unit, process"),
            (["flows", "-s", "size"], 1, "sort: "), (["log-level", "loud"], 1, "level: "),
            (["stats", "no.such"], 1, "no.such: no such counter")):
        done = rheoctl(*words)
        expect_equal(done.returncode, status, f"exit status of rheoctl {words}: {done.stderr}")
        expect(done.stderr.startswith("rheoctl: ") and said in done.stderr, f"{words}: not {said!r}: {done.stderr!r}")
        expect("\x1b" not in done.stderr, f"{words}: a control character reaches the terminal")
    refused = rheoctl("flows", uid=ORDINARY_UID)
    expect(refused.returncode == 1 and "org.rheo.rheo1.read-flows is needed" in refused.stderr, f"flows: {refused.stderr}")
    expect_equal(rheoctl("losses", uid=ORDINARY_UID).returncode, 0, "exit status of losses of an ordinary user")
    absent = rheoctl("status", environment={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})
    expect(absent.returncode == 1 and "there is no system bus" in absent.stderr, f"without a bus: {absent.stderr}")


def on_a_terminal(near):
    near.send("east", "--packets", 400, "--flows", 200, "--protocols", "udp")
    printed("drain")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PAGER": "sed s/^/paged:/", "TERM": "xterm"}
    subprocess.run(["stty", "rows", "24", "cols", "80"], stdin=theirs, check=True)
    process = subprocess.Popen([Rig.programs / "rheoctl", "flows"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    screen = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        screen += part
    expect_equal(process.wait(timeout=60), 0, "exit status on a terminal")
    os.close(ours)
    expect_equal(screen.count(b"paged:"), 201, "lines through the pager")
    expect(b"\x1b[1mINTERFACE" in screen, "titles are not bold")


def events(rheod):
    monitor = subprocess.Popen([Rig.programs / "rheoctl", "--json", "monitor"], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: monitors(monitor), "a monitor")
        rheod.stop()
        seen = [json.loads(monitor.stdout.readline())["event"] for _ in range(3)]
        expect_equal(seen, ["object removed", "object removed", "rheod left"], "events of a stop")
    finally:
        monitor.kill()
        monitor.wait(timeout=10)
    gone = rheoctl("status")
    expect(gone.returncode == 1 and "rheod does not run" in gone.stderr, f"without rheod: {gone.stderr}")


COMPLETIONS = (("orphans c", ["clean"]), ("interfaces detach ", ["east"]), ("interfaces at", ["attach"]),
               ("ex", ["exporters"]), ("exporters flush ", ["json.test"]), ("flows interface ", ["east"]),
               ("--json log-level d", ["debug"]), ("flows --so", ["--sort"]), ("--sort pa", ["packets", "packet-rate"]),
               ("stats datapath.seen_pa", ["datapath.seen_packets"]), ("flows to", ["top"]), ("flows --sort en", ["end"]),
               ("flows tcp cont", ["container"]), ("flows --by un", ["unit"]))


def commands_of_help():
    return sorted(set(re.findall(r"^  ([a-z][a-z-]+) ", rheoctl("--help").stdout, re.M)))


def words_of_help():
    """{line: what it may be completed to, perhaps among other words}: what may follow commands, and options."""
    text = rheoctl("--help").stdout
    found = {"flows --": set(re.findall(r"--[a-z-]+", text.partition("-j, --json")[2])) | {"--json"}}
    for command, word in re.findall(r"^  ([a-z][a-z-]+) \[?([a-z]+)\b", text, re.M):
        found.setdefault(f"{command} ", set()).add(word)
    return found


def completion():
    def complete(*words):
        script = (f"source {TOP}/dbus/rheoctl/rheoctl.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _rheoctl; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        environment = {**os.environ, "PATH": f"{Rig.programs}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-c", script, "bash", "rheoctl", *words], capture_output=True, text=True, check=True,
                              timeout=60, env=environment).stdout.split()
    for line, wanted in COMPLETIONS:
        expect_equal(complete(*line.split(" ")), wanted, f"completion of {line}")
    expect_equal(sorted(complete("")), commands_of_help(), "commands that bash completes, and those of --help")
    for line, words in words_of_help().items():
        expect_equal(sorted(words - set(complete(*line.split(" ")))), [], f"words of --help that bash lacks behind {line}")


# A zsh at a terminal of its own, whose function compadd tells what it is given; of options only the line shows what
# became of them. For each line on standard input: what was found, then a line that begins with "end".
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
say() { zpty -w shell $1 }
say 'PS1=; fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -u -D'
say 'compadd() { builtin compadd -A found "$@"; print -rl -- $found >>$OUT; builtin compadd "$@" }'
say 'probe() { zle complete-word; print -r -- "line $BUFFER" >>$OUT; print end >>$OUT; BUFFER= }; zle -N probe'
say 'stty -echo; bindkey "^X" probe; : >$OUT.ready'
while IFS= read -r line; do
	for i in {1..600}; do zpty -r -t shell ignored; [[ -e $OUT.ready ]] && break; sleep 0.1; done
	: >$OUT
	zpty -w -n shell "rheoctl $line"$'\x18'
	for i in {1..600}; do zpty -r -t shell ignored; [[ $(tail -n 1 $OUT) == end ]] && break; sleep 0.1; done
	cat $OUT
done
zpty -d shell
"""


def zsh_completion():
    if not shutil.which("zsh"):
        raise Skipped("no zsh")
    asked = (("", commands_of_help()), *COMPLETIONS, *words_of_help().items())
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PATH": f"{Rig.programs}:{os.environ['PATH']}", "OUT": f"{folder}/found", "HOME": folder,
                       "COMPLETIONS": str(TOP / "dbus" / "rheoctl"), "TERM": "xterm"}
        said = subprocess.run(["zsh", "-f", "-c", ZSH], input="".join(f"{line}\n" for line, _ in asked), capture_output=True,
                              text=True, timeout=300, check=True, env=environment).stdout
    answers = said.split("\nend\n")
    expect_equal(len(answers), len(asked) + 1, f"answers of zsh: {said}")
    for (line, wanted), answered in zip(asked, answers):
        *found, shown = answered.splitlines()
        found = set(found) - {""} or {shown.split()[-1]}
        if isinstance(wanted, set):
            expect_equal(sorted(wanted - found), [], f"words of --help that zsh lacks behind {line!r}")
        else:
            expect_equal(sorted(found), sorted(wanted), f"zsh's completion of {line!r}")


def main():
    rig = Rig()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    serve_cases(rig, {"commands": commands, "mistakes": lambda near, rheod: mistakes(),
                      "terminal": lambda near, rheod: on_a_terminal(near), "monitor": lambda near, rheod: events(rheod),
                      "completion": lambda near, rheod: completion(),
                      "completion of zsh": lambda near, rheod: zsh_completion()})
    rig.end()


if __name__ == "__main__":
    main()
