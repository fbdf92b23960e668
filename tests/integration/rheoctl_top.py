#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheoctl flows top and flows show against a real rheod, on a real terminal: what the table shows, keys, sizes, what
it costs with 10,000 flows, and a terminal that is afterwards as it was."""
import os
import pathlib
import re
import shutil
import subprocess
import time

from bus import ORDINARY_UID, serve, wait_for
from rig import Rig, expect, expect_equal
from rheoctl import printed, rheoctl, values

FLOWS = 10_000
LASTING = {"udp_timeout": "1h"}  # however long a test takes
SECONDS = 8
MOST_OF_A_CORE = 0.05


class Terminal:
    """A shell in a terminal of tmux, of which one sees the picture."""

    def __init__(self, folder, columns=160, rows=30):
        self.socket = folder / "tmux"
        self.folder = folder
        environment = {**os.environ, "PATH": f"{Rig.programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                        "sh"], check=True, timeout=20, env=environment)
        wait_for(lambda: self.picture().strip(), "a prompt")

    def _tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.socket, *map(str, words)], capture_output=True, text=True, timeout=60,
                              check=True).stdout

    def picture(self):
        return self._tmux("capture-pane", "-p")

    def lines(self):
        return self.picture().splitlines()

    def press(self, *keys):
        self._tmux("send-keys", *keys)

    def type(self, text):
        self._tmux("send-keys", "-l", text)

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", columns, "-y", rows)

    def cursor(self):
        return self._tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}").split()

    def child(self):
        """The process that the shell runs, or None."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        children = pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0]) if children else None

    def settings(self):
        file = self.folder / "stty"
        file.unlink(missing_ok=True)
        self.type(f"stty -g > {file}.new; mv {file}.new {file}")
        self.press("Enter")
        wait_for(file.exists, "settings of the terminal")
        return file.read_text()

    def start_top(self, *words):
        self.type(" ".join(("clear; rheoctl flows top", *words)))
        self.press("Enter")
        wait_for(lambda: "rheoctl flows top   " in self.picture() and "PROTO" in self.picture(), "a picture of flows top")

    def end(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=20, check=False)


def shows(terminal, text):
    wait_for(lambda: text in terminal.picture(), f"{text!r} in the picture:\n{terminal.picture()}")


def some_flows(near, flows, packets, protocols="udp"):
    near.send("east", "--packets", packets, "--flows", flows, "--protocols", protocols)
    printed("drain")


def settled(terminal):
    """A picture that is whole: two looks in a row see the same."""
    seen = [[]]

    def same():
        time.sleep(0.3)
        seen.append(terminal.lines())
        return seen[-1] == seen[-2]
    wait_for(same, "a picture that stays")
    return seen[-1]


def keys(near, terminal):
    some_flows(near, 200, 2_000, "udp")
    before = terminal.settings()
    terminal.start_top()
    shows(terminal, "200 flows")
    wait_for(lambda: sum(" udp " in line for line in terminal.lines()) == 26, "26 flows on 30 lines")
    lines = terminal.lines()
    expect("by rate" in lines[0], f"not by rate: {lines[0]}")
    expect(re.search(r"PROTO +INITIATOR +RESPONDER .*BIT/S +REPLY", lines[3]), f"titles: {lines[3]}")
    for key, order in (("b", "bytes"), ("p", "packets"), ("k", "packet-rate"), ("t", "start"), ("e", "end"), ("r", "rate"),
                       ("s", "packet-rate")):
        terminal.press(key)
        shows(terminal, f"by {order}")
    terminal.press("End")
    shows(terminal, "from the 175th on")
    terminal.press("PPage", "Home")
    wait_for(lambda: "th on" not in terminal.picture(), "the first page")
    terminal.press("?")
    shows(terminal, "Keys of rheoctl flows top")
    terminal.press("x")
    shows(terminal, "PROTO")

    terminal.press("/")
    shows(terminal, "filter:")
    terminal.type("tcp and")
    terminal.press("Enter")
    shows(terminal, "filter:")  # a mistake is told, and the filter stays as it was
    shows(terminal, "200 flows ")
    terminal.press("/")
    terminal.type("not udp")
    terminal.press("Enter")
    shows(terminal, "0 match")
    shows(terminal, "only not udp")
    terminal.press("/", *["BSpace"] * 7, "Enter")
    wait_for(lambda: "match" not in terminal.picture(), "no filter")

    terminal.press("Space")
    shows(terminal, "PAUSED")
    still = settled(terminal)
    some_flows(near, 300, 600, "udp")
    time.sleep(2.5)
    expect_equal(terminal.lines(), still, "a picture that is paused")
    terminal.press("Space")
    wait_for(lambda: "PAUSED" not in terminal.picture() and "200 flows" not in terminal.picture(), "a picture that goes on")

    for columns, rows in ((80, 24), (40, 6), (20, 3), (200, 50), (100, 30)):
        terminal.resize(columns, rows)
        wait_for(lambda: terminal.lines()[0].startswith("rheoctl flows top"[:columns])
                 and sum("udp " in line for line in terminal.lines()) == max(rows - 4, 0), f"a picture of {columns} x {rows}")
    terminal.press("q")
    wait_for(lambda: terminal.child() is None, "the end of flows top")
    expect_equal(terminal.cursor(), ["1", "0"], "cursor shown, and the first screen again")
    expect_equal(terminal.settings(), before, "settings of the terminal")
    expect("PROTO" not in terminal.picture(), "the picture is still there")


def signals(near, terminal):
    some_flows(near, 10, 100)
    before = terminal.settings()
    for send in (lambda: terminal.press("C-c"), lambda: os.kill(terminal.child(), 15)):
        terminal.start_top("udp", "--sort", "packets")
        shows(terminal, "10 flows, 10 match")
        send()
        wait_for(lambda: terminal.child() is None, "the end of flows top by a signal")
        expect_equal(terminal.cursor(), ["1", "0"], "cursor and screen after a signal")
        expect_equal(terminal.settings(), before, "settings of the terminal after a signal")


def cost(near, terminal):
    """1 Hz with 10,000 flows under traffic. A busy machine may skip a second, but not each time."""
    some_flows(near, FLOWS, 2 * FLOWS)
    wait_for(lambda: values("status")["active_flows"] == FLOWS, f"{FLOWS} flows")
    terminal.start_top()
    shows(terminal, f"{FLOWS} flows")
    times, moving = {}, False
    process = terminal.child()
    begin, used = time.monotonic(), cpu_seconds(process)
    sent = 0
    while time.monotonic() - begin < SECONDS or next_to_each_other(times) < SECONDS - 2:
        expect(time.monotonic() - begin < 60, f"pictures of {list(times)} in 60 s")
        if time.monotonic() - begin > sent:
            near.send("east", "--packets", FLOWS, "--flows", FLOWS, "--protocols", "udp")
            sent += 2
        heading, summary = terminal.lines()[:2]
        times[re.search(r"\d\d:\d\d:\d\d", heading)[0]] = True
        moving = moving or re.search(r"[1-9]\S*bit/s and ", summary)
        time.sleep(0.1)
    share = (cpu_seconds(process) - used) / (time.monotonic() - begin)
    print(f"flows top with {FLOWS} flows: {100 * share:.1f} % of a core, {len(times)} pictures", flush=True)
    expect(share < MOST_OF_A_CORE, f"{100 * share:.1f} % of a core")
    expect(moving, f"never a rate: {terminal.lines()[1]}")
    terminal.press("q")


def next_to_each_other(times):
    """How many pictures came a second after another."""
    seconds = [sum(int(part) * unit for part, unit in zip(time_.split(":"), (3_600, 60, 1))) for time_ in times]
    return sum(second + 1 in seconds for second in seconds)


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def restart(near, rheod, terminal):
    """Another rheod has the table, or another one: the picture follows."""
    some_flows(near, 10, 100)
    terminal.start_top()
    shows(terminal, "10 flows")
    rheod.stop()
    rheod.start()
    wait_for(lambda: rheoctl("status").returncode == 0, "rheod on the bus again")
    some_flows(near, 7, 70)
    shows(terminal, "7 flows")
    terminal.press("q")


def one_flow(near):
    sent = near.send("east", "--packets", 60, "--flows", 3, "--protocols", "udp")
    printed("drain")
    flows = values("flows")
    shown = [values("flows", "show", flow["flow_id"]) for flow in flows]
    expect_equal(sum(flow["packets"] + flow["reverse_packets"] for flow in shown), sent["packets"], "packets of the flows")
    for listed, one in zip(flows, shown):
        for key in ("flow_id", "source", "destination", "protocol", "interface", "packets", "bytes", "reverse_packets",
                    "started_at"):
            # The clocks' offset is taken at each drain, and by each rheoctl.
            same = abs(listed[key] - one[key]) < 1e9 if key == "started_at" else listed[key] == one[key]
            expect(same, f"{key}: {listed[key]} in the list, {one[key]} alone")
    expect(f"Flow: {flows[0]['flow_id']}\n" in printed("flows", "show", flows[0]["flow_id"]), "no line of the flow's ID")
    for words, status, said in ((["show"], 2, "which one?"), (["show", "x"], 1, "16 hexadecimal digits"),
                                (["show", "0" * 16], 1, "no such flow"), (["top"], 1, "must be a terminal"),
                                (["--json", "top"], 2, "has no --json"), (["top", "--sort", "size"], 1, "not rate, packet-rate"),
                                (["top", "tcp", "and"], 1, "filter: "), (["top", "--by", "port", "tcp", "and"], 1, "filter: "),
                                (["top", "--by", "port"], 1, "must be a terminal"),
                                (["top", "--by", "port", "--sort", "rate"], 2, "has no --sort")):
        done = rheoctl("flows", *words)
        expect(done.returncode == status and said in done.stderr, f"{words}: {done.returncode} {done.stderr!r}")
    refused = rheoctl("flows", "top", uid=ORDINARY_UID)
    expect(refused.returncode == 1 and "read-flows is needed" in refused.stderr, f"flows top of anybody: {refused.stderr}")


def summed_up(near, terminal):
    """Flows have one class and interface: one group, which grows while packets come, and is left with q."""
    near.send("east", "--packets", 100, "--flows", 10, "--protocols", "udp")
    printed("drain")
    before = terminal.settings()
    terminal.type("clear; rheoctl flows top --by interface")
    terminal.press("Enter")
    shows(terminal, "INTERFACE  FLOWS")
    wait_for(lambda: re.search(r"^east +10 +100 ", terminal.picture(), re.M), "10 flows of east")
    near.send("east", "--packets", 300, "--flows", 10, "--protocols", "udp")
    printed("drain")
    wait_for(lambda: re.search(r"^east +\d+ +400 ", terminal.picture(), re.M), "300 packets more")
    expect("BIT/S" in terminal.picture(), "no rates")
    terminal.press("q")
    wait_for(lambda: terminal.child() is None, "the end of flows top")
    expect_equal(terminal.settings(), before, "settings of the terminal")


def main():
    rig = Rig()
    missing = [tool for tool in ("busctl", "dbus-daemon", "tmux") if not shutil.which(tool)]
    if missing:
        print(f"skipped: {rig.name}: all: no {', '.join(missing)}", flush=True)
        return
    for name, run in (("one flow", lambda near, rheod, terminal: one_flow(near)),
                      ("keys", lambda near, rheod, terminal: keys(near, terminal)),
                      ("sums", lambda near, rheod, terminal: summed_up(near, terminal)),
                      ("signals", lambda near, rheod, terminal: signals(near, terminal)),
                      ("restart", restart), ("cost", lambda near, rheod, terminal: cost(near, terminal))):
        with rig.case(name) as case:
            bus, near, rheod = serve(rig, case, flow=LASTING)
            terminal = Terminal(bus.folder)
            rig.at_end_of_case(terminal.end)
            run(near, rheod, terminal)
    rig.end()


if __name__ == "__main__":
    main()
