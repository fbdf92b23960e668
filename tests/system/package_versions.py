# SPDX-License-Identifier: Apache-2.0
"""The package under test, and those of other versions: the same files under a higher version, and a package of another
schema, whose programs are compiled anew from this tree."""
import os
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from debian_suite import run  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SHIFT = 1000  # no version of rheo has such a schema
NUMBERS = ((re.compile(r"\b(?:abi::)?ABI_SCHEMA\b"), "maps"), (re.compile(r"\bkTableSchema\b"), "table"))


def version_of(package):
    return run(["dpkg-deb", "-f", package, "Version"], 60).strip()


def of_version(package, version, folder, mend=None):
    """The same package with another version, made again; `mend` may change the tree that it is made from."""
    tree = folder / f"tree-{version}"
    run(["rm", "-rf", tree], 60)
    run(["dpkg-deb", "-R", package, tree], 120)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.M))
    if mend:
        mend(tree)
    target = folder / f"rheo_{version}.deb"
    run(["dpkg-deb", "-Zgzip", "-z1", "-b", tree, target], 120)
    run(["rm", "-rf", tree], 60)
    return target


def change_settings(tree):
    """The packaged ones."""
    with (tree / "etc" / "rheo" / "rheo.toml").open("a") as file:
        file.write("# of a later version\n")


def rename_schema(tree):
    """As far as the package's own scripts know: its programs are the same."""
    schema = tree / "usr" / "share" / "rheo" / "schema"
    preinst = tree / "DEBIAN" / "preinst"
    ours, other = schema.read_text().strip(), f"maps {SHIFT}, table {SHIFT}"
    if ours not in preinst.read_text():
        raise ValueError(f"preinst does not know the schema: {ours}")
    preinst.write_text(preinst.read_text().replace(ours, other))
    schema.write_text(other + "\n")


def shift_schema(tree):
    """Where the numbers are used rather than where they are said, upon which most of the sources depend."""
    shifted = set()
    for file in (path for room in ("bpf", "daemon", "dbus") for path in (tree / room).rglob("*.cpp")):
        text = before = file.read_text()
        for number, name in NUMBERS:
            text, count = number.subn(rf"(\g<0> + {SHIFT})", text)
            shifted.update([name] if count else [])
        if text != before:
            file.write_text(text)
    if len(shifted) != len(NUMBERS):
        raise ValueError(f"sources with the schema's numbers were found for {sorted(shifted)} only")
    install = tree / "packaging" / "CMakeLists.txt"
    said = "\n".join(f"math(EXPR {name} \"${{{name}}} + {SHIFT}\")" for _, name in NUMBERS)
    text, count = re.subn(r"^(?=file\(WRITE \S+/schema )", said + "\n", install.read_text(), flags=re.M)
    if count != 1:
        raise ValueError("packaging/CMakeLists.txt does not write the schema")
    install.write_text(text)


def of_other_schema(folder):
    """Compiled from this tree for this machine; what the compiler has done before, ccache knows."""
    tree = folder / "tree-schema"
    shutil.copytree(TOP, tree, symlinks=True, ignore=lambda place, names: {"build", ".git", "__pycache__"} & set(names))
    shift_schema(tree)
    quick = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1",
             "DEB_BUILD_OPTIONS": f"noautodbgsym parallel={os.cpu_count()}"}
    run([tree / "packaging" / "build-deb", "--here"], 1800, env={**os.environ, **quick})
    package = next((tree / "build" / "packages" / "host").glob("rheo_*.deb")).rename(folder / "other-schema.deb")
    shutil.rmtree(tree)
    return package


class Package:
    """The .deb, and those of other versions made of it. `other_schema` is compiled where `compiled` says so."""

    def __init__(self, file, folder, compiled):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.version = version_of(file)
        self.file = shutil.copy(file, folder / f"rheo_{self.version}.deb")
        self.higher = of_version(self.file, f"{self.version}+upgrade1", folder, change_settings)
        later = f"{self.version}+upgrade2"
        self.other_schema = (of_version(of_other_schema(folder), later, folder) if compiled
                             else of_version(self.file, later, folder, rename_schema))
        self.compiled = compiled
        self.smoke = shutil.copy(TOP / "debian" / "tests" / "smoke", folder)

    @staticmethod
    def path(file):
        """In the container."""
        return f"/packages/{pathlib.Path(file).name}"
