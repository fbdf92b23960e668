#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check. house_rules.py CHECK [TREE] prints FILE:LINE: SENTENCE for every
violation and ends with 1 if there was one, 77 if the check cannot run here. `house_rules.py --list` names them."""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from documented_sentences import check_documented_sentences  # noqa: F401  one of CHECKS

SKIPPED = 77
MAX_LINES = 400
NOT_SOURCES = {".git", "build", "__pycache__", ".cache", ".debhelper"}
C_SUFFIXES = {".c", ".cpp", ".h"}
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".cmake", ".toml", ".scd"}


class Skip(Exception):
    """Why a check cannot run here."""


class Tree:
    """The files below a folder, without what a build leaves there; paths are relative to it."""

    def __init__(self, top):
        self.top = Path(top)

    def files(self):
        for folder, folders, names in os.walk(self.top):
            folders[:] = sorted(f for f in folders if f not in NOT_SOURCES and not f.startswith("obj-"))
            for name in sorted(names):
                path = (Path(folder) / name).relative_to(self.top)
                if not (self.top / path).is_symlink():
                    yield path

    def lines(self, path):
        return (self.top / path).read_text(encoding="utf-8", errors="replace").splitlines()

    def is_code(self, path):
        if path.suffix in CODE_SUFFIXES or path.name == "CMakeLists.txt":
            return True
        if path.suffix or path.parts[0] == "debian":
            return False
        with open(self.top / path, "rb") as file:
            return file.read(2) == b"#!"

    def code(self):
        return (path for path in self.files() if self.is_code(path))

    def c_files(self):
        return (path for path in self.files() if path.suffix in C_SUFFIXES)

    def table(self, name):
        """The lines KEY : VALUE… of a table in tests/check."""
        rows = {}
        for line in self.lines(Path("tests/check") / name):
            if line and not line.startswith("#"):
                key, _, value = line.partition(" :")
                rows[key.strip()] = value.strip()
        return rows


def includes(tree, path):
    """(line number, "<" or '"', header) for every #include."""
    for number, line in enumerate(tree.lines(path), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if found:
            yield number, found[1], found[2]


def folder_in(table, path):
    """The longest entry of the table that is a folder around the path."""
    around = [folder for folder in table if str(path).startswith(folder + "/")]
    return max(around, key=len, default=None)


def check_include_directions(tree):
    table = {folder: allowed.split() for folder, allowed in tree.table("include_directions.txt").items()}
    for path in tree.c_files():
        own = folder_in(table, path)
        for number, kind, header in includes(tree, path):
            target = folder_in(table, header)
            if kind != '"' or target is None or target == own:
                continue
            if own is None:
                yield path, number, f'"{header}": this folder has no line in include_directions.txt'
            elif target not in table[own] and header not in table[own]:
                yield path, number, f'"{header}": {own} may include {", ".join(table[own]) or "nothing else"}'


def check_third_party_headers(tree):
    table = {prefix: allowed.split() for prefix, allowed in tree.table("third_party_headers.txt").items()}
    for path in tree.c_files():
        for number, kind, header in includes(tree, path):
            prefix = header.split("/")[0] + "/"
            if kind != "<" or "/" not in header:
                continue
            if prefix not in table:
                yield path, number, f"<{header}>: a library without an owner in third_party_headers.txt"
            elif not any(fnmatch.fnmatch(str(path), allowed) for allowed in table[prefix]):
                yield path, number, f"<{header}>: only {', '.join(table[prefix])} may include it"


def check_licences(tree):
    for path in tree.code():
        # What is compiled for the kernel, wherever it lies.
        dual = path.name.endswith(".bpf.c") or (path.parts[0] == "bpf" and path.suffix in C_SUFFIXES)
        licence = "GPL-2.0-only OR BSD-2-Clause" if dual else "Apache-2.0"
        wanted = "SPDX-License-Identifier: " + licence
        # Line 2 is for what must begin with a line of its own: a script's interpreter, a man page's title.
        heads = [re.sub(r"\s*\*/$", "", line) for line in tree.lines(path)[:2]]
        if path.parts[0] == "bpf" and not dual and any("SPDX-License-Identifier: GPL" in head for head in heads):
            continue
        if not any(head.endswith(wanted) for head in heads):
            yield path, 1, f'no "{wanted}" in its first line'


def check_unfinished(tree):
    words = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX")) + r")\b")
    for path in tree.code():
        for number, line in enumerate(tree.lines(path), 1):
            found = words.search(line)
            if found:
                yield path, number, f"{found[1]}: unfinished; write an issue instead"


def check_executables(tree):
    """tests/run passes over what is not executable."""
    for path in tree.code():
        lines = tree.lines(path)
        if lines and lines[0].startswith("#!") and not os.access(tree.top / path, os.X_OK):
            yield path, 1, "begins with #! and is not executable, so nothing runs it"


def check_file_length(tree):
    allowed = tree.table("long_files.txt")
    for path in tree.code():
        count = len(tree.lines(path))
        listed = allowed.pop(str(path), None)
        if path.suffix == ".scd":
            continue  # tables, read by looking up
        if count > MAX_LINES and not listed:
            yield path, MAX_LINES + 1, f"{count} lines; split it, or give a reason in long_files.txt"
        if count <= MAX_LINES and listed is not None:
            yield path, 1, f"{count} lines: its entry in long_files.txt is not needed"
    for path in allowed:
        yield path, 1, "no such file, but an entry in long_files.txt"


def keys_of_toml(tree):
    """(line, section, key) of etc/rheo.toml, those in examples ("#key = value") too."""
    section = ""
    for number, line in enumerate(tree.lines(Path("etc/rheo.toml")), 1):
        if found := re.match(r"#?\[([\w.]+)\]$", line):
            section = re.sub(r"^(export\.\w+|classes)\.\w+$", r"\1.NAME", found[1])
        elif found := re.match(r"#?([\w.]+) = ", line):
            yield number, section, found[1]


def check_documented_keys(tree):
    documented = set()
    section = ""
    for line in tree.lines(Path("man/rheo.toml.5.scd")):
        if found := re.match(r"# SECTION \[([\w.]+)\]$", line):
            section = found[1]
        elif found := re.match(r"\*([\w.]+)\*( = .*)?$", line):
            documented.add((section, found[1]))
    known = set()
    for number, section, key in keys_of_toml(tree):
        known.add((section, key))
        if (section, key) not in documented:
            yield "etc/rheo.toml", number, f"[{section}] {key}: no paragraph in man/rheo.toml.5.scd"
    for section, key in sorted(documented - known):
        yield "man/rheo.toml.5.scd", 1, f"[{section}] {key}: not in etc/rheo.toml"


def check_documented_losses(tree):
    page = "\n".join(tree.lines(Path("man/rheod.8.scd")))
    inside = False
    for number, line in enumerate(tree.lines(Path("bpf/abi.h")), 1):
        inside = (inside or line.startswith("enum drop_reason")) and not line.startswith("}")
        found = re.match(r"\s*DROP_(\w+)", line)
        if inside and found and found[1] != "REASON_COUNT":
            name = found[1].lower()
            if not re.search(rf"^\|\s+{name}$", page, re.M):
                yield "bpf/abi.h", number, f"DROP_{found[1]}: no row {name} in the losses of man/rheod.8.scd"


COUNTER_STAGES = {"DatapathCounters": "datapath", "TableCounters": "table", "CollectorCounters": "collector",
                  "LinkCounters": "links", "OwnerCounters": "owners", "LaneCounters": "lane.NAME"}


def check_documented_counters(tree):
    page = "\n".join(tree.lines(Path("man/rheod.8.scd")))
    stage = None
    for number, line in enumerate(tree.lines(Path("daemon/model/counters.h")), 1):
        if found := re.match(r"struct (\w+) \{", line):
            stage = COUNTER_STAGES.get(found[1])
            if stage is None and found[1] not in ("LossCount", "DaemonCounters"):
                yield "daemon/model/counters.h", number, f"{found[1]}: a stage without a name in house_rules.py"
        found = re.match(r"  [\w:]+ (\w+)(\[\w+\])?( = [^;]*)?;", line)
        if not stage or not found or found[1] == "name":
            continue
        if not re.search(rf"\|  \*{re.escape(stage)}\.{found[1]}(\.\w+)?\*$", page, re.M):
            yield "daemon/model/counters.h", number, f"{stage}.{found[1]}: not among the counters of man/rheod.8.scd"


def check_documented_events(tree):
    """Every MESSAGE_ID is one of its own, is used, and is in the manual page with the fields that its lines have."""
    page = dict(re.findall(r"^\|  ([0-9a-f]{32})\n:  .+\n:  ?(.*)$", "\n".join(tree.lines(Path("man/rheod.8.scd"))), re.M))
    code = "\n".join("\n".join(tree.lines(path)) for path in tree.c_files() if path.suffix == ".cpp")
    seen = {}
    for number, line in enumerate(tree.lines(Path("daemon/base/events.h")), 1):
        if not (found := re.match(r'inline constexpr Event (k\w+)\{"(.*)"\};', line)):
            continue
        name, event = found.groups()
        problems = {"not 32 hexadecimal digits": not re.fullmatch("[0-9a-f]{32}", event),
                    f"the same as {seen.get(event)}": event in seen, "not in the log of man/rheod.8.scd": event not in page,
                    "used nowhere": not re.search(rf"\blog::{name}\b", code)}
        seen[event] = name
        for problem in (text for text, wrong in problems.items() if wrong):
            yield "daemon/base/events.h", number, f"{name}: {problem}"
    for event in sorted(set(page) - set(seen)):
        yield "man/rheod.8.scd", 1, f"{event}: not an event of daemon/base/events.h"


def check_bus_members(tree):
    """Every member has its right and its paragraph; every action is in the policy, and is used."""
    text = {name: "\n".join(tree.lines(Path(name))) for name in
            ("dbus/rights.cpp", "dbus/org.rheo.rheo1.policy", "man/org.rheo.Rheo1.5.scd")}
    methods = set()
    for number, line in enumerate(tree.lines(Path("dbus/org.rheo.Rheo1.xml")), 1):
        found = re.match(r'\s*<(method|property|signal) name="(\w+)"', line)
        if not found:
            continue
        if not re.search(rf"\*{found[2]}\*", text["man/org.rheo.Rheo1.5.scd"]):
            yield "dbus/org.rheo.Rheo1.xml", number, f"{found[2]}: no paragraph in man/org.rheo.Rheo1.5.scd"
        if found[1] == "method":
            methods.add(found[2])
            if f'{{"{found[2]}", ' not in text["dbus/rights.cpp"]:
                yield "dbus/org.rheo.Rheo1.xml", number, f"{found[2]}: no right in dbus/rights.cpp"
    for stale in sorted(set(re.findall(r'\{"(\w+)", k', text["dbus/rights.cpp"])) - methods):
        yield "dbus/rights.cpp", 1, f"{stale}: not a method of dbus/org.rheo.Rheo1.xml"
    actions = re.findall(r'"(org\.rheo\.rheo1\.[\w-]+)"', text["dbus/rights.cpp"])
    declared = re.findall(r'<action id="([^"]+)"', text["dbus/org.rheo.rheo1.policy"])
    for action in sorted(set(actions) ^ set(declared)):
        yield "dbus/org.rheo.rheo1.policy", 1, f"{action}: in one of policy and dbus/rights.cpp alone"
    for action in declared:
        if action not in text["man/org.rheo.Rheo1.5.scd"]:
            yield "dbus/org.rheo.rheo1.policy", 1, f"{action}: not in man/org.rheo.Rheo1.5.scd"


def check_format(tree):
    program = shutil.which("clang-format-19")
    if not program:
        raise Skip("no clang-format-19")
    files = [str(path) for path in tree.c_files()]
    ran = subprocess.run([program, "--dry-run", "-Werror", *files], cwd=tree.top, capture_output=True, text=True,
                         check=False)
    places = re.findall(r"^(.*?):(\d+):\d+: error: code should be clang-formatted", ran.stderr, re.M)
    for file in dict.fromkeys(file for file, _ in places):
        lines = [int(number) for name, number in places if name == file]
        yield file, lines[0], f"not as clang-format-19 has it, in {len(lines)} places"
    if ran.returncode != 0 and not places:
        yield ".clang-format", 1, ran.stderr.strip()


CHECKS = {name.removeprefix("check_"): function for name, function in list(globals().items())
          if name.startswith("check_")}


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(CHECKS))
        return 0
    if not 1 <= len(arguments) <= 2 or arguments[0] not in CHECKS:
        print(f"usage: house_rules.py CHECK [TREE]; the checks: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    tree = Tree(arguments[1] if len(arguments) == 2 else Path(__file__).resolve().parents[2])
    try:
        violations = [f"{path}:{line}: {sentence}" for path, line, sentence in CHECKS[arguments[0]](tree)]
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    print("\n".join(violations) or "none found")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
