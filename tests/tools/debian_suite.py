# SPDX-License-Identifier: Apache-2.0
"""Packages of other Debian suites, from the mirror that this machine's own apt uses; nothing of this machine's apt is
touched."""
import pathlib
import shutil
import subprocess

MIRROR = pathlib.Path(__file__).resolve().parent.parent.parent / "packaging" / "debian-mirror"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """It cannot be had here; says why."""


def run(command, seconds, **options):
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


def mirror(suite):
    """The address from which this machine gets Debian itself, or its security updates."""
    return run([MIRROR, suite], 60).strip()


class Suite:
    """apt-get and apt-cache with settings, lists and caches of their own."""

    def __init__(self, suite, folder):
        self.folder = folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        sources = self.folder / "sources.list"
        sources.write_text(f"deb [arch=amd64 signed-by={KEYRING}] {mirror(suite)} {suite} main\n")
        settings = {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::State::Lists": self.folder / "lists", "Dir::State::status": self.folder / "status",
                    "Dir::Cache": self.folder / "cache", "Debug::NoLocking": 1, "APT::Sandbox::User": "root",
                    "APT::Architecture": "amd64", "Acquire::Languages": "none", "Acquire::Retries": 2,
                    "APT::Update::Error-Mode": "any"}
        self._options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        run(["apt-get", *self._options, "update"], 120)

    def names(self, beginning):
        """Of all packages whose names begin so."""
        return run(["apt-cache", *self._options, "pkgnames", beginning], 60).split()

    def needed_by(self, *packages):
        """Everything that a machine with nothing would install with them."""
        said = run(["apt-get", *self._options, "-s", "--no-install-recommends", "install", *packages], 120)
        return [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]

    def download(self, packages, seconds=180):
        target = self.folder / "packages"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        run(["apt-get", *self._options, "download", *packages], seconds, cwd=target)
        return sorted(target.glob("*.deb"))
