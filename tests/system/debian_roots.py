# SPDX-License-Identifier: Apache-2.0
"""Root directories of Debian's suites with systemd in them, from the mirror that this machine's own apt uses; each is
made once."""
import hashlib
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from debian_suite import KEYRING, Unavailable, mirror, run  # noqa: E402

# A host as people have it, but for its kernel: a manager, a bus, polkit, manual pages.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "polkitd", "iproute2", "procps", "man-db")

# What a machine's boot has and a container's has not: the BPF file system; and one boot id for all, where the container
# has another than its services, whose /proc is mounted anew.
MACHINE = """[Unit]
Description=As on a machine
DefaultDependencies=no
Before=systemd-tmpfiles-setup.service sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-mkdir -p /sys/fs/bpf
ExecStart=-mount -t bpf -o mode=700 bpf /sys/fs/bpf
ExecStart=-umount /proc/sys/kernel/random/boot_id
"""


def dependencies(package):
    """Names of what a .deb depends on; the first of alternatives."""
    said = run(["dpkg-deb", "-f", package, "Pre-Depends", "Depends"], 60)
    fields = re.sub(r"^[\w-]+:|\([^)]*\)|:any", "", said, flags=re.M).replace("\n", ",").split(",")
    return sorted({name for field in fields if (name := field.split("|")[0].strip())})


def fetch(suite, package, cache):
    """The root with everything that the package depends on, under the cache; raises Unavailable."""
    return fetch_with(suite, dependencies(package), cache)


def fetch_with(suite, packages, cache):
    """The root with these packages, too. A cache has one of a suite."""
    include = sorted({*PACKAGES, *packages})
    name = hashlib.sha256("\n".join([*include, MACHINE]).encode()).hexdigest()[:12]
    root = pathlib.Path(cache) / f"{suite}-{name}"
    if root.exists():
        return root
    if shutil.which("mmdebstrap") is None:
        raise Unavailable("mmdebstrap is not installed")
    for earlier in pathlib.Path(cache).glob(f"{suite}-*"):
        shutil.rmtree(earlier)
    partial = root.with_name(f"{suite}-partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    # A test's root may be lost at a power cut: dpkg's waiting for the disk is half of the time.
    run(["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(include)}", "--dpkgopt=force-unsafe-io",
         "--aptopt=Acquire::Retries \"2\"", suite, partial, f"deb [signed-by={KEYRING}] {mirror(suite)} {suite} main"], 600)
    units = partial / "etc" / "systemd" / "system"
    (units / "machine.service").write_text(f"# SPDX-License-Identifier: Apache-2.0\n{MACHINE}")
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants" / "machine.service").symlink_to("../machine.service")
    (partial / "var" / "lib" / "man-db" / "auto-update").unlink(missing_ok=True)  # minutes of indexes in all
    partial.rename(root)  # last: what is there is whole
    return root
