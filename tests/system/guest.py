# SPDX-License-Identifier: Apache-2.0
"""A guest under QEMU's software emulation: a kernel, an initial file system made for it, a script, its results.

Nothing but the guest's own memory is its disk. What its script leaves in /out comes back as a tar archive, which
the guest writes to a disk of its own.
"""
import collections
import io
import lzma
import pathlib
import re
import shutil
import stat
import subprocess
import tarfile

RESULTS_BYTES = 512 << 20  # of the disk, most of which are never written
MODULES = ("virtio_pci", "virtio_blk", "virtio_rng", "veth", "cls_bpf", "sch_ingress", "ip_gre", "ipip", "sit",
           "wireguard", "8021q", "dummy", "bonding", "sctp", "sch_netem", "tcp_diag")
INIT = pathlib.Path(__file__).parent / "guest_init.sh"

# How a guest ended: the files of /out by their paths, what the console showed.
Ended = collections.namedtuple("Ended", "files console")


class Archive:
    """An initial file system, as the kernel unpacks it: cpio, "newc" (Documentation/driver-api/early-userspace)."""

    def __init__(self):
        self._bytes = io.BytesIO()
        self._entries = set()

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        if name in self._entries:
            return
        self._entries.add(name)
        parent = str(pathlib.PurePosixPath(name).parent)
        if parent != "." and name != "TRAILER!!!":
            self._entry(parent, stat.S_IFDIR | 0o755)
        path = name.encode() + b"\0"
        fields = (len(self._entries), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        self._bytes.write(b"070701" + b"".join(b"%08X" % field for field in fields) + path)
        self._bytes.write(bytes(-self._bytes.tell() % 4))
        self._bytes.write(data)
        self._bytes.write(bytes(-self._bytes.tell() % 4))

    def folder(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self, name):
        self._entry(name, stat.S_IFCHR | 0o600, device=(5, 1))

    def program(self, name, path):
        """A program and the libraries it needs, where it looks for them."""
        self.file(name, pathlib.Path(path).read_bytes())
        listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False, timeout=30).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            self.file(library.lstrip("/"), pathlib.Path(library).read_bytes())

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return self._bytes.getvalue()


def _spelled(name):
    """Modules are named with _ or with -, as it came."""
    return name.split(".")[0].replace("-", "_")


def add_modules(archive, kernel):
    """MODULES and what they need, uncompressed, in the order to load them; built-in ones are in the kernel."""
    needs = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[_spelled(pathlib.Path(path).name)] = [path, *others.split()]
    order = []
    for name in MODULES:
        for path in reversed(needs.get(name, [])):
            if path not in order:
                order.append(path)
    for path in order:
        data = (kernel.modules / path).read_bytes()
        if path.endswith(".xz"):
            data = lzma.decompress(data)
        archive.file(f"modules/{_spelled(pathlib.Path(path).name)}.ko", data, 0o644)
    archive.file("modules/order", "".join(f"{_spelled(pathlib.Path(path).name)}\n" for path in order).encode(), 0o644)


def make_archive(kernel, programs, files, init=INIT):
    """The initial file system: busybox, the programs by name, the files (of bytes) by name in /payload."""
    archive = Archive()
    for folder in ("proc", "sys", "run", "tmp", "out", "dev"):
        archive.folder(folder)
    archive.console("dev/console")
    busybox = shutil.which("busybox")
    archive.file("bin/busybox", pathlib.Path(busybox).read_bytes())
    for name, path in programs.items():
        archive.program(f"sbin/{name}", path)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet not in programs:
            archive.link(f"bin/{applet}", "busybox")
    for name, data in files.items():
        archive.file(f"payload/{name}", data, 0o644)
    add_modules(archive, kernel)
    archive.file("init", init.read_bytes())
    return archive.finish()


def _processor(version):
    """QEMU 7.2 emulates cmpxchg16b wrongly for 6.12; kernels from 7.0 on have BPF local storage only with it."""
    return "qemu64" if int(version.split(".")[0]) >= 7 else "qemu64,-cx16"


def qemu(kernel, initrd, console, cpus, *options):
    """The command of a guest without a screen or a network."""
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", _processor(kernel.version),
               "-smp", cpus, "-m", 1024, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
               "-device", "virtio-rng-pci", "-serial", f"file:{console}", *options, "-kernel", kernel.image, "-initrd", initrd,
               "-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on"]
    return list(map(str, command))


def boot(kernel, archive, folder, cpus, seconds):
    """Runs the guest to its end; raises AssertionError with the console's last words when it gives no results."""
    folder.mkdir(parents=True, exist_ok=True)
    initrd, console, results = folder / "initrd", folder / "console", folder / "results.tar"
    initrd.write_bytes(archive)
    for file in (console, results):
        file.unlink(missing_ok=True)
    with open(results, "wb") as disk:
        disk.truncate(RESULTS_BYTES)
    command = qemu(kernel, initrd, console, cpus, "-drive", f"file={results},if=virtio,format=raw,cache=unsafe")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False,
                              stdin=subprocess.DEVNULL)
        how = f"QEMU's exit status is {done.returncode} {done.stderr.strip()[-200:]}"
    except subprocess.TimeoutExpired:
        how = f"the guest was ended after {seconds} s"
    finally:
        initrd.unlink()
    said = console.read_text(errors="replace") if console.exists() else ""
    files = {}
    try:
        with tarfile.open(results) as archived:
            for member in archived:
                if member.isfile():
                    files[member.name.removeprefix("./")] = archived.extractfile(member).read()
    except (tarfile.TarError, EOFError) as error:
        raise AssertionError(f"{how}, no results ({error}); console: {' | '.join(said.splitlines()[-6:])}") from error
    finally:
        results.unlink()
    return Ended(files, said)
