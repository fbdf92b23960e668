# SPDX-License-Identifier: Apache-2.0
"""The examples of a page: fenced blocks of Markdown by their language, those of scdoc by what is in them."""
import re

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def followed_blocks(page, text):
    """(language, text) of each block, in the page's order. Those of scdoc have no language, so they are told apart."""
    for language, body in FENCED.findall(text):
        if page.endswith(".scd"):
            language = "toml" if body.startswith("[") else "console" if body.startswith("$ ") else "other"
        yield language, body


def target_of(body):
    """The file that a block is to be written to: its first line is a comment with an absolute path."""
    found = re.match(r"# (/\S+)\n", body)
    return found[1] if found else None


def commands_of_text(body):
    """(command, lines that it prints) of a transcript; a backslash continues a command."""
    joined = re.sub(r"\\\n\s*", "", body)
    for part in re.split(r"^\$ ", joined, flags=re.M)[1:]:
        command, *wanted = part.rstrip("\n").split("\n")
        yield command, [line for line in wanted if line.strip()]
