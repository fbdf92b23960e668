# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels of other releases, from the mirror that this machine's own apt uses.

Each is downloaded and unpacked once, into a folder of the build; nothing of this machine's apt is touched.
"""
import collections
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from debian_suite import Suite, Unavailable, run  # noqa: E402

FLAVOUR = "cloud-amd64"  # the smallest of Debian's images with BTF, TCX and the tunnels' modules

# A kernel's name here, the suites that may have it, and the hook that rheod must choose on it, whether
# its programs can follow who accepts (they count with what Linux 5.12 has).
Kernel = collections.namedtuple("Kernel", "name suites hook follows_accept")
KERNELS = (
    Kernel("5.10", ("bullseye", "bullseye-security"), "clsact", False),
    Kernel("6.1", ("bookworm", "bookworm-security"), "clsact", True),
    Kernel("6.12", ("bookworm-backports",), "tcx", True),
    Kernel("7", ("trixie-backports",), "tcx", True),
)

# An unpacked kernel: its image, its folder under lib/modules, its version.
Unpacked = collections.namedtuple("Unpacked", "image modules version")


def newest(suite, name):
    """Packages that together are the newest kernel of that version: one, or image, binary and modules."""
    every = suite.names("linux-")
    kernel = re.compile(rf"linux-(?:image|binary|modules)-({re.escape(name)}\.[\w.+~-]*?{FLAVOUR})$")
    found = collections.defaultdict(list)
    for package in every:
        if match := kernel.match(package):
            found[match[1]].append(package)
    # Modules of a kernel that is yet to be signed come before its image.
    whole = [version for version in found if f"linux-image-{version}" in found[version]]
    if not whole:
        return []
    return found[max(whole, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])]


def _unpacked(root):
    """What lies under a folder with a complete kernel."""
    for library in (root / "lib" / "modules", root / "usr" / "lib" / "modules"):
        for modules in sorted(library.glob("*")):
            for image in (*root.glob("boot/vmlinuz-*"), modules / "vmlinuz"):
                if image.exists():
                    return Unpacked(image, modules, modules.name)
    raise Unavailable(f"no kernel in the packages under {root}")


def fetch(kernel, cache):
    """The kernel, unpacked under the cache; raises Unavailable."""
    folder = pathlib.Path(cache) / kernel.name
    root = folder / "root"
    if root.exists():
        return _unpacked(root)
    reasons = []
    for suite in kernel.suites:
        try:
            source = Suite(suite, folder)
            packages = newest(source, kernel.name)
            if not packages:
                raise Unavailable(f"{suite} has no linux-image-{kernel.name}.*-{FLAVOUR}")
            partial = folder / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            for package in source.download(packages):
                run(["dpkg", "-x", package, partial], 120)
            unpacked = _unpacked(partial)
            base = unpacked.modules.parent.parent.parent
            run(["depmod", "-b", base, unpacked.version], 120)
            partial.rename(root)  # last: what is there is whole
            shutil.rmtree(folder / "apt", ignore_errors=True)
            return _unpacked(root)
        except Unavailable as reason:
            reasons.append(str(reason))
    raise Unavailable("; ".join(reasons))
