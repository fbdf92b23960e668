# SPDX-License-Identifier: Apache-2.0
"""The sentences that docs/ says the programs print are in their sources."""
import re
from pathlib import Path

SOURCES = ("daemon", "netlink", "export", "dbus")
LITERAL = r'"((?:[^"\\\n]|\\.)*)"'
SHORTEST = 8  # a piece between two placeholders that says less is not looked for


def literals(tree):
    """The text of all string literals, adjacent ones joined, with the page's mark in the place of what is put in."""
    for path in tree.c_files():
        if path.suffix not in (".cpp", ".h") or path.parts[0] not in SOURCES:
            continue
        text = "\n".join(tree.lines(path))
        for literal in re.finditer(rf"{LITERAL}(?:\s*{LITERAL})*", text):
            joined = "".join(re.findall(LITERAL, literal[0])).replace('\\"', '"').replace("\\n", "")
            yield re.sub(r"\{[^{}]*\}", "…", joined)


def sentences(lines):
    """(line number, sentence) of the blocks ```text of a page."""
    language = None
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language == "text" and line.strip():
            yield number, line


def pieces(sentence):
    """What stands between placeholders, without the punctuation that joins two levels' words."""
    return [piece for part in sentence.split("…") if len(piece := part.strip(" :;,.()\"'")) >= SHORTEST]


def in_order(wanted, text):
    return re.search(".*".join(map(re.escape, wanted)), text) is not None


def is_said(sentence, said):
    """By one literal as a whole, or piece by piece: a level puts its words around another's."""
    wanted = pieces(sentence)
    if any(in_order(wanted, text) for text in said):
        return bool(wanted)
    return bool(wanted) and all(any(piece in text for text in said)
                                for part in wanted for piece in re.split(r"(?:: |; )", part) if len(piece) >= SHORTEST)


def check_documented_sentences(tree):
    said = list(literals(tree))
    for page in sorted((tree.top / "docs").glob("*.md")):
        path = Path("docs") / page.name
        for number, sentence in sentences(tree.lines(path)):
            if not is_said(sentence, said):
                yield path, number, f'"{sentence}": printed by nothing in {", ".join(SOURCES)}'
