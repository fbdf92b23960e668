# SPDX-License-Identifier: Apache-2.0
"""A D-Bus client that sends whatever it is told to, also what libraries refuse to send: little-endian, of types s, u, b
and arrays of s; an answer's first string alone is read. One thread, one connection."""
import os
import socket
import struct

BUS = "org.freedesktop.DBus"
METHOD_CALL, METHOD_RETURN, ERROR = 1, 2, 3
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SIGNATURE = 1, 2, 3, 4, 5, 6, 8


class Answer:
    def __init__(self, kind, error, text):
        self.failed = kind == ERROR
        self.error = error  # "org.rheo.Rheo1.Error.NotFound", or ""
        self.text = text    # the sentence of an error


def _pad(data, to):
    return data + bytes(-len(data) % to)


def _string(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def _field(code, signature, value):
    raw = bytes([code, 1]) + signature.encode() + b"\0"
    if signature == "g":
        return raw + bytes([len(value)]) + value.encode() + b"\0"
    return raw + (struct.pack("<I", value) if signature == "u" else _string(value))


def _body(signature, arguments):
    body = b""
    for kind, value in zip(signature.replace("as", "a"), arguments):
        body = _pad(body, 4)
        if kind == "s":
            body += _string(value)
        elif kind == "a":
            inner = b""
            for text in value:
                inner = _pad(inner, 4) + _string(text)
            body += struct.pack("<I", len(inner)) + inner
        else:
            body += struct.pack("<I", int(value))
    return body


class Client:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.serial = 0
        self.received = b""
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        said = self._until(b"\r\n")
        if not said.startswith(b"OK "):
            raise OSError(f"the bus does not let us in: {said!r}")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")  # recv() throws descriptors away
        self._until(b"\r\n")
        self.socket.sendall(b"BEGIN\r\n")
        self.call(BUS, "/org/freedesktop/DBus", BUS, "Hello")

    def close(self):
        self.socket.close()

    def _until(self, end):
        while end not in self.received:
            self._more()
        line, _, self.received = self.received.partition(end)
        return line

    def _more(self):
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionResetError("the bus has closed the connection")
        self.received += part

    def _take(self, size):
        while len(self.received) < size:
            self._more()
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def send(self, destination, path, interface, member, signature="", arguments=()):
        """Sends a call; its serial number."""
        self.serial += 1
        fields = b""
        for code, kind, value in ((PATH, "o", path), (INTERFACE, "s", interface), (MEMBER, "s", member),
                                  (DESTINATION, "s", destination), (SIGNATURE, "g", signature)):
            if value:
                fields = _pad(fields, 8) + _field(code, kind, value)
        body = _body(signature, arguments)
        head = struct.pack("<BBBBIII", ord("l"), METHOD_CALL, 0, 1, len(body), self.serial, len(fields))
        self.socket.sendall(_pad(head + fields, 8) + body)
        return self.serial

    def receive(self, serial):
        """The answer to the call; signals and other answers are passed over."""
        while True:
            _, kind, _, _, size, _, fields_size = struct.unpack("<BBBBIII", self._take(16))
            fields = self._fields(self._take(fields_size + -fields_size % 8)[:fields_size])
            body = self._take(size)
            if kind not in (METHOD_RETURN, ERROR) or fields.get(REPLY_SERIAL) != serial:
                continue
            text = ""
            if fields.get(SIGNATURE, "").startswith("s"):
                length = struct.unpack_from("<I", body)[0]
                text = body[4:4 + length].decode()
            return Answer(kind, fields.get(ERROR_NAME, ""), text)

    @staticmethod
    def _fields(raw):
        fields, at = {}, 0
        while at < len(raw):
            at += -at % 8
            code, kind = raw[at], chr(raw[at + 2])
            at += 4
            if kind == "g":
                length = raw[at]
                fields[code] = raw[at + 1:at + 1 + length].decode()
                at += length + 2
            elif kind == "u":
                fields[code] = struct.unpack_from("<I", raw, at)[0]
                at += 4
            else:
                length = struct.unpack_from("<I", raw, at)[0]
                fields[code] = raw[at + 4:at + 4 + length].decode()
                at += length + 5
        return fields

    def call(self, destination, path, interface, member, signature="", arguments=()):
        return self.receive(self.send(destination, path, interface, member, signature, arguments))
