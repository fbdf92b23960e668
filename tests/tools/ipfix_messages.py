# SPDX-License-Identifier: Apache-2.0
"""Reads IPFIX messages (RFC 7011), one after the other in a file, and knows nothing of rheo."""
import struct

VARIABLE = 65_535


class Session:
    """The templates of one transport session, and what its records say."""

    def __init__(self):
        self.templates = {}  # id: [(enterprise, number, length)]
        self.records = []  # (template id, {(enterprise, number): octets})
        self.messages = 0

    def read(self, octets):
        """Whole messages; a message cut off at the end is left out."""
        at = 0
        while at + 16 <= len(octets):
            version, length = struct.unpack_from("!HH", octets, at)
            if version != 10 or length < 16:
                raise ValueError(f"octet {at}: version {version}, length {length} is no IPFIX message")
            if at + length > len(octets):
                break
            self._read_message(octets[at:at + length])
            at += length
        return self

    def _read_message(self, message):
        self.messages += 1
        at = 16
        while at < len(message):
            kind, length = struct.unpack_from("!HH", message, at)
            if length < 4 or at + length > len(message):
                raise ValueError(f"set {kind} of {length} octets in a message of {len(message)}")
            body = message[at + 4:at + length]
            if kind in (2, 3):
                self._read_templates(body, fixed=4 if kind == 2 else 6)
            else:
                self._read_records(kind, body)
            at += length

    def _read_templates(self, body, fixed):
        at = 0
        while at + fixed <= len(body):
            number, count = struct.unpack_from("!HH", body, at)
            at += fixed
            fields = []
            for _ in range(count):
                element, length = struct.unpack_from("!HH", body, at)
                at += 4
                enterprise = 0
                if element & 0x8000:
                    enterprise, = struct.unpack_from("!I", body, at)
                    at += 4
                fields.append((enterprise, element & 0x7FFF, length))
            self.templates[number] = fields

    def _read_records(self, kind, body):
        fields = self.templates[kind]
        shortest = sum(1 if length == VARIABLE else length for _, _, length in fields)
        at = 0
        while len(body) - at >= shortest:
            record = {}
            for enterprise, number, length in fields:
                if length == VARIABLE:
                    length = body[at]
                    at += 1
                    if length == 255:
                        length, = struct.unpack_from("!H", body, at)
                        at += 2
                record[enterprise, number] = body[at:at + length]
                at += length
            self.records.append((kind, record))

    def records_with(self, *elements):
        """Those whose template has exactly these elements."""
        return [record for _, record in self.records if set(record) == set(elements)]
