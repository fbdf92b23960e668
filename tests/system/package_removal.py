# SPDX-License-Identifier: Apache-2.0
"""The package's end: removed, and purged in the worst of states, with everything that a killed rheod leaves in the kernel;
and what must not be there afterwards."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from rig import expect, expect_equal  # noqa: E402

from booted import wait_for  # noqa: E402
from package_host import MANAGER, RECORDS, expect_nothing_attached  # noqa: E402

# What is written by other programs than rheo's while packages come and go.
OTHERS = re.compile(r"/var/(lib/(dpkg|apt|systemd)|cache|log/(apt|journal|dpkg\.log|wtmp|btmp|lastlog)|tmp)\b|/etc/(\.pwd\.lock|ld\.so\.cache|\w+-$)"
                    r"|/run/(systemd|udev|log|user|netns|mount|dbus|lock|utmp|blkid|agetty)\b|/usr/share/(info|man)/.*(dir|cat|index)")


def files(host):
    """Every path where a package could leave something."""
    found = host.run("find /etc /var /run /usr /opt /srv /home /root /tmp -xdev \\( -path /run/systemd -o -path /tmp/systemd* \\) "
                     "-prune -o -print; cat /etc/passwd /etc/group")
    return {line for line in found.splitlines() if not OTHERS.match(line)}


def is_killed(host):
    """With nothing that starts it again."""
    host.run("mkdir -p /run/systemd/system/rheod.service.d && "
             "printf '[Service]\\nRestart=no\\n' > /run/systemd/system/rheod.service.d/once.conf && systemctl daemon-reload && "
             "kill -9 $(systemctl show rheod --value -p MainPID)")
    wait_for(lambda: host.show("ActiveState") == "failed", "rheod that is gone")
    host.run("rm -r /run/systemd/system/rheod.service.d && systemctl daemon-reload")
    expect(host.pins(), "nothing is left behind")


def removes(host, _):
    host.apt("remove", "rheo")
    expect_nothing_attached(host)
    expect("/etc/rheo/rheo.toml" in host.run("ls /etc/rheo/rheo.toml"), "the conffile is gone")
    expect("flow.id" in host.run(f"tail -n 1 {RECORDS}"), "the records are gone")
    expect_equal(host.run("ls /usr/sbin/rheod /usr/bin/rheoctl 2>/dev/null", check=False).strip(), "", "programs")


def purges(host, package):
    """Of a package whose rheod was killed, with everything still attached."""
    host.apt("install", package.path(package.file))
    host.systemctl("enable --now")
    is_killed(host)
    expect(host.attached(), "nothing is attached that a purge could remove")
    purge(host)


def purges_clsact(host, package):
    """The same where the kernel has no TCX, or is not to use it: filters and qdiscs have no pin that holds them."""
    host.apt("install", package.path(package.file))
    host.configure('[datapath]\nhook = "clsact"\n')
    host.systemctl("enable --now")
    expect_equal(host.run(f"busctl get-property {MANAGER} KernelMode").strip(), 's "clsact"', "KernelMode")
    is_killed(host)
    expect_equal((len(host.qdiscs()), host.attached()), (2, []), "qdiscs, and programs at the TCX hooks")
    purge(host)


def purges_namespaces(host, package):
    """The same in network namespaces that have a name: which a purge enters, since rheod is not there to be asked."""
    drop_in = "/run/systemd/system/rheod.service.d"
    host.apt("install", package.path(package.file))
    host.run(f"mkdir -p {drop_in} && cp /usr/share/rheo/rheod-netns.conf {drop_in}/netns.conf && systemctl daemon-reload")
    host.configure('[interfaces]\nnetns = ["far"]\n[datapath]\nhook = "clsact"\n')
    host.systemctl("enable --now")
    wait_for(lambda: len(host.qdiscs()) == 4, "interfaces that are metered on both sides")
    is_killed(host)
    expect_equal(len(host.qdiscs()), 4, "qdiscs, with those of the namespace")
    purge(host)


def purge(host):
    host.apt("purge", "rheo")
    expect_nothing_attached(host)
    expect_equal(sorted(files(host) - host.before), [], "left behind")
    # What man-db has formatted is its own to forget.
    named = host.run("find / -xdev -name '*rheo*' -not -path '/var/cache/man/*'; "
                     "find /run /sys/fs/bpf /tmp -name '*rheo*'").split()
    expect_equal(named, [], "files with rheo in their names")
    expect_equal(host.run("systemctl list-unit-files --no-legend 'rheo*'", check=False).strip(), "", "units")
