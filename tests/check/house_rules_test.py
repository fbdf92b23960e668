#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every check of house_rules.py can fail: a small tree passes all, and each violation put into it is found."""
import contextlib
import io
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
import house_rules  # noqa: E402

APACHE = "// SPDX-License-Identifier: Apache-2.0\n"
DUAL = "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n"
HASH = "# SPDX-License-Identifier: Apache-2.0\n"

CLEAN = {
    ".clang-format": HASH + "BasedOnStyle: Google\n",
    "bpf/abi.h": DUAL + "enum drop_reason {\n  DROP_NOT_IP, /* ARP */\n  DROP_REASON_COUNT,\n};\n",
    "daemon/base/a.h": APACHE + "int a();\n",
    "daemon/base/events.h": APACHE + f'inline constexpr Event kOne{{"{"1" * 32}"}};\n',
    "daemon/base/log.cpp": APACHE + "auto one = log::kOne;\n",
    "daemon/config/toml.cpp": APACHE + '#include <toml++/toml.h>\n\n#include "daemon/base/a.h"\n',
    "daemon/model/counters.h": APACHE + "struct TableCounters {\n  std::uint64_t rows = 0;\n};\n",
    "dbus/org.rheo.Rheo1.xml": '<!-- SPDX -->\n<method name="Get"/>\n<signal name="Lost"/>\n',
    "dbus/org.rheo.rheo1.policy": '<action id="org.rheo.rheo1.read"/>\n',
    "dbus/rights.cpp": APACHE + 'const char* kRead = "org.rheo.rheo1.read";\nRight kRights[] = {{"Get", kRead}};\n',
    "man/org.rheo.Rheo1.5.scd": "org.rheo.Rheo1(5)\n; SPDX-License-Identifier: Apache-2.0\n*Get*() *Set*() *Lost*() "
                                "org.rheo.rheo1.read org.rheo.rheo1.write\n",
    "etc/rheo.toml": HASH + "[flow]\nx = 1\n#[export.json.default]\n#path = \"/x\"\n",
    "man/rheo.toml.5.scd": "rheo.toml(5)\n; SPDX-License-Identifier: Apache-2.0\n# SECTION [flow]\n\n*x* = 1\n\tX.\n\n"
                           "# SECTION [export.json.NAME]\n\n*path*\n\tX.\n",
    "man/rheod.8.scd": "rheod(8)\n; SPDX-License-Identifier: Apache-2.0\n|  not_ip\n|  *table.rows*\n"
                         f"|  {'1' * 32}\n:  one\n:  \n",
    "tests/check/include_directions.txt": "daemon/base :\ndaemon/config : daemon/base\n",
    "tests/check/third_party_headers.txt": "toml++/ : daemon/config/*.cpp\n",
    "tests/check/long_files.txt": "",
    "docs/trouble.md": "# Trouble\n\n```text\n…: no space, 7 of … rows are lost: \"…\"\n```\n```\nanything\n```\n",
    "dbus/say.cpp": APACHE + 'auto a = say("{}: no space, 7 of {} rows are lost: \\"{}\\"\\n");\n',
    "packaging/run": "#!/bin/sh\n" + HASH,
    "build/x.cpp": "what a build leaves is not looked at\n",
}

# check: (file, its text, the violation)
VIOLATIONS = {
    "include_directions": [
        ("daemon/base/a.h", APACHE + '#include "daemon/config/b.h"\n',
         'daemon/base/a.h:2: "daemon/config/b.h": daemon/base may include nothing else'),
        ("other/a.h", APACHE + '#include "daemon/base/a.h"\n',
         'other/a.h:2: "daemon/base/a.h": this folder has no line in include_directions.txt'),
    ],
    "third_party_headers": [
        ("daemon/config/a.h", APACHE + "#include <toml++/toml.h>\n",
         "daemon/config/a.h:2: <toml++/toml.h>: only daemon/config/*.cpp may include it"),
        ("daemon/config/toml.cpp", APACHE + "\n#include <boost/any.hpp>\n",
         "daemon/config/toml.cpp:3: <boost/any.hpp>: a library without an owner in third_party_headers.txt"),
    ],
    "licences": [
        ("bpf/a.h", APACHE, 'bpf/a.h:1: no "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause" in its first line'),
        ("daemon/base/b.cpp", "int b;\n",
         'daemon/base/b.cpp:1: no "SPDX-License-Identifier: Apache-2.0" in its first line'),
        ("tests/b.bpf.c", APACHE,
         'tests/b.bpf.c:1: no "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause" in its first line'),
        ("packaging/b", "#!/bin/sh\n", 'packaging/b:1: no "SPDX-License-Identifier: Apache-2.0" in its first line'),
    ],
    "bus_members": [
        ("dbus/org.rheo.Rheo1.xml", '<method name="Get"/>\n<method name="Set"/>\n<signal name="Lost"/>\n',
         "dbus/org.rheo.Rheo1.xml:2: Set: no right in dbus/rights.cpp"),
        ("dbus/org.rheo.Rheo1.xml", '<method name="Get"/>\n<property name="New"/>\n',
         "dbus/org.rheo.Rheo1.xml:2: New: no paragraph in man/org.rheo.Rheo1.5.scd"),
        ("dbus/org.rheo.Rheo1.xml", '<signal name="Lost"/>\n',
         "dbus/rights.cpp:1: Get: not a method of dbus/org.rheo.Rheo1.xml"),
        ("dbus/org.rheo.rheo1.policy", '<action id="org.rheo.rheo1.read"/>\n<action id="org.rheo.rheo1.write"/>\n',
         "dbus/org.rheo.rheo1.policy:1: org.rheo.rheo1.write: in one of policy and dbus/rights.cpp alone"),
    ],
    "unfinished": [
        ("daemon/base/a.h", APACHE + "// TO" "DO: more\n",
         "daemon/base/a.h:2: TO" "DO: unfinished; write an issue instead"),
    ],
    "executables": [
        ("tests/integration/a.py", "#!/usr/bin/env python3\n" + HASH,
         "tests/integration/a.py:1: begins with #! and is not executable, so nothing runs it"),
    ],
    "file_length": [
        ("daemon/base/a.h", APACHE + "\n" * 400,
         "daemon/base/a.h:401: 401 lines; split it, or give a reason in long_files.txt"),
        ("tests/check/long_files.txt", "daemon/base/a.h : long\n",
         "daemon/base/a.h:1: 2 lines: its entry in long_files.txt is not needed"),
        ("tests/check/long_files.txt", "gone.h : long\n", "gone.h:1: no such file, but an entry in long_files.txt"),
    ],
    "documented_keys": [
        ("etc/rheo.toml", CLEAN["etc/rheo.toml"] + "#more = 1\n",
         "etc/rheo.toml:6: [export.json.NAME] more: no paragraph in man/rheo.toml.5.scd"),
        ("etc/rheo.toml", HASH + "#[export.json.default]\n#path = 1\n",
         "man/rheo.toml.5.scd:1: [flow] x: not in etc/rheo.toml"),
    ],
    "documented_losses": [
        ("bpf/abi.h", DUAL + "enum drop_reason {\n\tDROP_NOT_IP,\n\tDROP_LATE,\n};\n",
         "bpf/abi.h:4: DROP_LATE: no row late in the losses of man/rheod.8.scd"),
    ],
    "documented_counters": [
        ("daemon/model/counters.h", APACHE + "struct TableCounters {\n  std::uint64_t more[kSize] = {};\n};\n",
         "daemon/model/counters.h:3: table.more: not among the counters of man/rheod.8.scd"),
        ("daemon/model/counters.h", APACHE + "struct OtherCounters {\n};\n",
         "daemon/model/counters.h:2: OtherCounters: a stage without a name in house_rules.py"),
    ],
    "documented_events": [
        ("daemon/base/events.h", CLEAN["daemon/base/events.h"] + f'inline constexpr Event kTwo{{"{"1" * 32}"}};\n',
         "daemon/base/events.h:3: kTwo: the same as kOne\ndaemon/base/events.h:3: kTwo: used nowhere"),
        ("man/rheod.8.scd", CLEAN["man/rheod.8.scd"].replace("1" * 32, "2" * 32),
         f"daemon/base/events.h:2: kOne: not in the log of man/rheod.8.scd\nman/rheod.8.scd:1: {'2' * 32}: not an event of "
         "daemon/base/events.h"),
        ("daemon/base/log.cpp", APACHE + "auto one = 1;\n", "daemon/base/events.h:2: kOne: used nowhere"),
    ],
    "documented_sentences": [
        ("docs/trouble.md", "```text\nno space, 8 of … rows are lost\n```\n",
         'docs/trouble.md:2: "no space, 8 of … rows are lost": printed by nothing in daemon, netlink, export, dbus'),
        ("docs/trouble.md", "```text\n…: …\n```\n",
         'docs/trouble.md:2: "…: …": printed by nothing in daemon, netlink, export, dbus'),
    ],
    "format": [
        ("daemon/base/a.h", APACHE + "int   a( );\n",
         "daemon/base/a.h:2: not as clang-format-19 has it, in 2 places"),
    ],
}


def run(check, tree):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = house_rules.main([check, str(tree)])
    return status, output.getvalue().strip()


class HouseRules(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rheo-house-rules-")
        self.addCleanup(folder.cleanup)
        self.tree = Path(folder.name)
        for path, text in CLEAN.items():
            self.write(path, text)
            if text.startswith("#!"):
                (self.tree / path).chmod(0o755)

    def write(self, path, text):
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(text, encoding="utf-8")

    def test_every_check_has_a_violation(self):
        self.assertEqual(set(VIOLATIONS), set(house_rules.CHECKS))

    def test_a_clean_tree_passes(self):
        for check in house_rules.CHECKS:
            with self.subTest(check):
                status, text = run(check, self.tree)
                if status != house_rules.SKIPPED:
                    self.assertEqual((0, "none found"), (status, text))

    def test_each_violation_is_found(self):
        for check, cases in VIOLATIONS.items():
            if check == "format" and not shutil.which("clang-format-19"):
                continue
            for path, text, sentence in cases:
                with self.subTest(sentence):
                    self.write(path, text)
                    self.assertEqual((1, sentence), run(check, self.tree))
                    if path in CLEAN:
                        self.write(path, CLEAN[path])
                    else:
                        (self.tree / path).unlink()


if __name__ == "__main__":
    unittest.main()
