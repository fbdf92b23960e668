# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels of other releases, from the mirror that this machine's own apt uses.

Each is downloaded and unpacked once, into a folder of the build; nothing of this machine's apt is touched.
"""
import collections
import pathlib
import re
import shutil
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FLAVOUR = "cloud-amd64"  # the smallest of Debian's images with BTF, TCX and the tunnels' modules

# A kernel's name here, the suites that may have it, and the hook that rheod must choose on it.
Kernel = collections.namedtuple("Kernel", "name suites hook")
KERNELS = (
    Kernel("5.10", ("bullseye", "bullseye-security"), "clsact"),
    Kernel("6.1", ("bookworm", "bookworm-security"), "clsact"),
    Kernel("6.12", ("bookworm-backports",), "tcx"),
    Kernel("7", ("trixie-backports",), "tcx"),
)

# An unpacked kernel: its image, its folder under lib/modules, its version.
Unpacked = collections.namedtuple("Unpacked", "image modules version")


class Unavailable(Exception):
    """The kernel cannot be had here; says why."""


def _run(command, seconds, **options):
    """Standard output; a failure says the command's last words."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds, check=False,
                              stdin=subprocess.DEVNULL, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise Unavailable(f"{command[0]} {command[-1]}: {last}")
    return done.stdout


def _mirror(suite):
    """The address from which this machine gets Debian itself, or its security updates."""
    for line in _run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)",
                      "Created-By: Packages"], 60).splitlines():
        origin, codename, address = line.split(" ", 2)
        if origin == "Debian" and codename.endswith("-security") == suite.endswith("-security"):
            return address
    raise Unavailable(f"apt knows no mirror of Debian for {suite} (apt-get update first?)")


class _Suite:
    """apt-get and apt-cache with settings, lists and caches of their own."""

    def __init__(self, suite, folder):
        self.folder = folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        sources = self.folder / "sources.list"
        sources.write_text(f"deb [arch=amd64 signed-by={KEYRING}] {_mirror(suite)} {suite} main\n")
        settings = {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::State::Lists": self.folder / "lists", "Dir::State::status": self.folder / "status",
                    "Dir::Cache": self.folder / "cache", "Debug::NoLocking": 1, "APT::Sandbox::User": "root",
                    "APT::Architecture": "amd64", "Acquire::Languages": "none", "Acquire::Retries": 2,
                    "APT::Update::Error-Mode": "any"}
        self._options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        _run(["apt-get", *self._options, "update"], 120)

    def newest(self, name):
        """Packages that together are the newest kernel of that version: one, or image, binary and modules."""
        every = _run(["apt-cache", *self._options, "pkgnames", "linux-"], 60).split()
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

    def download(self, packages):
        target = self.folder / "packages"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        _run(["apt-get", *self._options, "download", *packages], 180, cwd=target)
        return sorted(target.glob("*.deb"))


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
            source = _Suite(suite, folder)
            packages = source.newest(kernel.name)
            if not packages:
                raise Unavailable(f"{suite} has no linux-image-{kernel.name}.*-{FLAVOUR}")
            partial = folder / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            for package in source.download(packages):
                _run(["dpkg", "-x", package, partial], 120)
            unpacked = _unpacked(partial)
            base = unpacked.modules.parent.parent.parent
            _run(["depmod", "-b", base, unpacked.version], 120)
            partial.rename(root)  # last: what is there is whole
            shutil.rmtree(folder / "apt", ignore_errors=True)
            return _unpacked(root)
        except Unavailable as reason:
            reasons.append(str(reason))
    raise Unavailable("; ".join(reasons))
