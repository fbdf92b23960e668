# SPDX-License-Identifier: Apache-2.0
"""A Debian that is booted under QEMU's software emulation, with systemd and one of Debian's kernels, and the commands that
run in it. Its disk is as it was when it ends."""
import base64
import io
import pathlib
import re
import socket
import subprocess
import tarfile

from booted import Machine, expect, wait_for
from debian_roots import run
import guest

INIT = pathlib.Path(__file__).parent / "machine_init.sh"
DISK_BYTES = 2 << 30  # most of which are never written
BOOT_SECONDS = 300
AGENT = """set -- /dev/vport*p1
exec 3<>"$1"
while read -r line <&3; do
	printf %s "$line" | base64 -d >/run/command
	sh /run/command </dev/null >/run/output 2>/run/errors
	printf '%s:%s:%s\\n' $? "$(base64 -w 0 /run/output)" "$(base64 -w 0 /run/errors)" >&3
done
"""
# Nobody logs in, and without udev the console's getty would be waited for.
LINKS = {"multi-user.target.wants/agent.service": "../agent.service", "serial-getty@ttyS0.service": "/dev/null"}
AGENT_UNIT = "[Unit]\nDescription=Runs what the host says\n[Service]\nExecStart=/bin/sh /opt/agent\n"


def make_disk(root):
    """An ext4 image of a root directory, beside it; made once."""
    disk = root.with_name(f"{root.name}.ext4")
    if not disk.exists():
        partial = disk.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        run(["mke2fs", "-q", "-t", "ext4", "-d", root, partial, f"{DISK_BYTES >> 10}k"], 300)
        partial.rename(disk)  # last: what is there is whole
    return disk


def libraries(programs):
    """Where they look for them."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False, timeout=60).stdout
    return {pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", said)}


def pack(root, installed):
    """As a tar archive: what the build installs, in /installed, with libraries that the root lacks; the agent."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(installed, "installed")
        for library in sorted(libraries([path for folder in ("bin", "sbin") for path in (installed / "usr" / folder).iterdir()])):
            if not (root / library.relative_to("/")).exists():
                archive.add(library.resolve(), str(library.relative_to("/")))
        for path, text in (("opt/agent", AGENT), ("etc/systemd/system/agent.service", AGENT_UNIT)):
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        for path, target in LINKS.items():
            member = tarfile.TarInfo(f"etc/systemd/system/{path}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


class VirtualMachine(Machine):
    """run() runs a command in it, one at a time."""

    def __init__(self, kernel, root, installed, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.console, initrd, agent = folder / "console", folder / "initrd", folder / "agent"
        for file in (self.console, agent):
            file.unlink(missing_ok=True)
        initrd.write_bytes(guest.make_archive(kernel, {}, {"more.tar": pack(root, installed)}, INIT))
        self.process = subprocess.Popen(
            guest.qemu(kernel, initrd, self.console, 2,
                       "-drive", f"file={make_disk(root)},if=virtio,format=raw,snapshot=on,cache=unsafe",
                       "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
                       "-device", "virtserialport,chardev=agent,name=agent"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: agent.exists() or self.process.poll() is not None, "socket of QEMU's")
        expect(self.process.poll() is None, f"QEMU's exit status is {self.process.poll()}")
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(str(agent))
        self.agent = connected.makefile("rb")
        self.socket = connected

    def wait_booted(self):
        try:
            self._run("systemctl is-system-running --wait", BOOT_SECONDS)
        except subprocess.TimeoutExpired:
            said = self.console.read_text(errors="replace").splitlines()[-6:]
            raise AssertionError(f"the machine does not come up: {' | '.join(said)}") from None

    def _run(self, script, seconds):
        self.socket.settimeout(seconds)
        try:
            self.socket.sendall(base64.b64encode(script.encode()) + b"\n")
            status, *said = self.agent.readline().decode().split(":")
        except TimeoutError:
            raise subprocess.TimeoutExpired(script, seconds) from None
        output, errors = (base64.b64decode(part).decode(errors="replace") for part in said)
        return subprocess.CompletedProcess(script, int(status), output, errors)

    def end(self):
        self.socket.close()
        self.process.kill()
        self.process.wait()
