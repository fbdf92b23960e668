#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""org.rheo.Rheo1(5) says what the live bus says: every member with its signature, whether its changes are told and the
action that it needs, both ways; the keys of a flow; the names of errors; the transcripts of its examples."""
import re
import shlex
import subprocess

from bus import NAME, ROOT, answer, busctl, get, serve_cases, wait_for
from rig import TOP, Rig, expect, expect_equal

PAGE = (TOP / "man" / "org.rheo.Rheo1.5.scd").read_text()
PARTS = {"THE MANAGER": "Manager", "INTERFACES": "Interface", "EXPORTERS": "Exporter"}


def sections(text, mark):
    """{title: text} of the parts that begin with such a heading."""
    parts = re.split(rf"^{mark} (.+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def paragraphs(text):
    """(heading, text) of what is indented below a line of bold members."""
    return re.findall(r"^(\*[A-Z]\w+\*.*)\n((?:\t.*\n?|\n(?=\t))+)", text, re.M)


def flags_of(paragraph):
    if "Constant" in paragraph:
        return "const"
    return "-" if re.search(r"changes are not told", paragraph, re.I) else "emits-change"


def documented_methods(text):
    """{(kind, name, signature, result, flags)}, {name: action or ""}"""
    members, actions = set(), {}
    for heading, _ in paragraphs(text):
        said = re.fullmatch(r"\*(\w+)\*\(([^)]*)\)(?: → (\S+?))?(?:, action ([\w-]+))?", heading)
        expect(said, f"the page's line of a method is not understood: {heading}")
        signature = "".join(argument.split()[0] for argument in said[2].split(",") if argument.strip())
        members.add(("method", said[1], signature or "-", said[3] or "-", "-"))
        actions[said[1]] = said[4] or ""
    return members, actions


def documented_signals(text):
    return {("signal", name, "".join(part.split()[0] for part in arguments.split(",") if part.strip()) or "-", "-", "-")
            for heading, _ in paragraphs(text) for name, arguments in re.findall(r"\*(\w+)\*\(([^)]*)\)", heading)}


def documented_properties(text):
    found = set()
    for heading, paragraph in paragraphs(text):
        # One signature may stand behind several names.
        names = re.findall(r"\*(\w+)\*(?: \(([\w()]+)\))?", heading)
        signature = None
        for name, own in reversed(names):
            signature = own or signature
            found.add(("property", name, signature, "-", flags_of(paragraph)))
    return found


def documented():
    members, actions = {}, {}
    for title, part in sections(PAGE, "#").items():
        if title not in PARTS:
            continue
        interface = PARTS[title]
        inner = sections(part, "##")
        members[interface] = documented_properties(inner.get("Properties", "" if inner else part))
        members[interface] |= documented_signals(inner.get("Signals", ""))
        methods, named = documented_methods(inner.get("Methods", ""))
        members[interface] |= methods
        actions |= named
    return members, actions


def live(path, interface):
    """What busctl introspect shows; a value is no part of it."""
    shown = busctl("--no-legend", "introspect", NAME, path, f"{NAME}.{interface}")
    expect_equal(shown.returncode, 0, f"exit status of busctl introspect: {shown.stderr}")
    members = set()
    for line in shown.stdout.splitlines():
        name, kind, signature, *rest = line.split()
        flags = rest[-1] if kind == "property" else "-"
        result = rest[0] if kind == "method" else "-"
        members.add((kind, name.lstrip("."), signature, result, flags))
    return members


def members(near, rheod):
    said, actions = documented()
    objects = {"Manager": ROOT, "Interface": answer("ListInterfaces")[0][0][2], "Exporter": answer("ListExporters")[0][0][2]}
    expect_equal(set(said), set(objects), "interfaces of the page")
    for interface, path in objects.items():
        shown = live(path, interface)
        expect_equal(sorted(said[interface] - shown), [], f"{interface}: in the page and not on the bus")
        expect_equal(sorted(shown - said[interface]), [], f"{interface}: on the bus and not in the page")
    names = dict(re.findall(r'string_view (k\w+) = "org\.rheo\.rheo1\.([\w-]+)"', (TOP / "dbus" / "rights.cpp").read_text()))
    rights = {member: names.get(action, "") for member, action in
              re.findall(r'\{"(\w+)", (k\w+)\}', (TOP / "dbus" / "rights.cpp").read_text())}
    expect_equal(actions, rights, "actions of the page")


def flow_keys(near, rheod):
    near.send("east", "--packets", 10, "--flows", 1)
    answer("Drain")
    flow = answer("ListFlows", "sus", "", 1, "bytes")[0][0]
    text = re.search(r"The keys are (.*?)layer-3", PAGE, re.S)[1]
    said, waiting = {}, []
    for name, signature in re.findall(r"([A-Z]\w+)|\(([a-z])\b", text):
        if name:
            waiting.append(name)
        else:
            said |= dict.fromkeys(waiting, signature)
            waiting = []
    expect_equal(said, {key: value["type"] for key, value in flow.items()}, "keys of a flow")


def error_names():
    code = "".join(file.read_text() for file in (TOP / "dbus").glob("*.cpp"))
    used = set(re.findall(r'"org\.rheo\.Rheo1\.Error\.(\w+)"', code)) or set(re.findall(r"Error\.(\w+)\"", code))
    said = set(re.findall(r"\*org\.rheo\.Rheo1\.Error\.(\w+)\*", PAGE))
    expect_equal(said, used, "names of errors")


def alike(text):
    """Without what differs from host to host: numbers, MAC addresses, spaces that line columns up."""
    text = re.sub(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC", text.replace("east", "eth0"))
    text = re.sub(r'Timestamp="[^"]*"', "TIME", text)
    text = re.sub(r'"(?:tcx|clsact)"', '"MODE"', text)
    return [re.sub(r"\d+", "N", " ".join(line.split())) for line in text.strip().splitlines()]


def transcripts(near, rheod):
    """The examples: a line that begins with a dollar is run, and what follows is what it prints."""
    near.run(["ip", "address", "add", "192.0.2.7/24", "dev", "east"])
    index, _, path = answer("ListInterfaces")[0][0]
    wait_for(lambda: get(path, f"{NAME}.Interface", "Addresses"), "an address")
    blocks = re.findall(r"^```\n(.*?)^```", sections(PAGE, "#")["EXAMPLES"], re.M | re.S)
    ran = 0
    for command, wanted in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", "".join(blocks), re.M):
        words = shlex.split(re.sub(r"(/interface/)\d+", rf"\g<1>{index}", command))
        expect_equal(words[0], "busctl", "program of an example")
        if "monitor" in words:
            printed = monitored(words, rheod)
        else:
            done = busctl(*words[1:])
            expect_equal(done.returncode, 0, f"exit status of {command}: {done.stderr}")
            printed = done.stdout
        if "monitor" in words:  # other messages come before and after
            printed = "\n\n".join(part for part in printed.split("\n\n") if '"LogLevel"' in part)
        expect_equal(alike(printed), alike(wanted), f"what {command} prints")
        ran += 1
    expect(ran >= 4, f"only {ran} examples")


def monitored(words, rheod):
    """What a monitor prints while the log's level is set."""
    file = rheod.folder / "monitor"
    with open(file, "wb") as shown:
        monitor = subprocess.Popen(words, stdout=shown, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "Monitoring bus" in file.read_text(), "a monitor")
        answer("SetLogLevel", "s", "debug")
        # An empty line ends a message; the call of SetLogLevel is shown, too.
        wait_for(lambda: any('"LogLevel"' in message for message in file.read_text().split("\n\n")[:-1]),
                 "PropertiesChanged of LogLevel")
    finally:
        monitor.terminate()
        monitor.wait(timeout=10)
    return file.read_text()


def main():
    rig = Rig()
    with rig.case("names of errors"):
        error_names()
    serve_cases(rig, {"members": members, "keys of a flow": flow_keys, "transcripts": transcripts})
    rig.end()


if __name__ == "__main__":
    main()
