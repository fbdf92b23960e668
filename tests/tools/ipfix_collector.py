#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An IPFIX collector on loopback that writes down what it receives, and misbehaves on request.

Over TCP each connection's octets are in a file of its own, PREFIX.1, PREFIX.2 and so on; over UDP all datagrams are in
PREFIX.1. As "dns" it is a name server instead: no name exists, until SIGUSR1 gives each the address 127.0.0.1. It
prints "ready" when it listens. To make it stop reading, stop it (SIGSTOP).
"""
import argparse
import ctypes
import os
import select
import signal
import socket
import struct
import sys

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27


def swallow(sock):
    """From now on the kernel acknowledges nothing that comes in, as if nobody was there."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K: keep 0 octets
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(instruction)))


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Connections:
    """Any number of TCP connections, the first of which may end badly."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if arguments.receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, arguments.receive_buffer)
        self.listener.bind(("127.0.0.1", arguments.port))
        if arguments.swallow_connections:
            swallow(self.listener)
            signal.signal(signal.SIGUSR1,
                          lambda *_: self.listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0))
        self.listener.listen(8)
        self.files = {}  # by connection
        self.count = 0
        self.misbehaves = None  # the first connection, until it did

    def accept(self):
        connection, _ = self.listener.accept()
        self.count += 1
        self.files[connection] = open(f"{self.arguments.prefix}.{self.count}", "wb", buffering=0)
        if self.count == 1 and (self.arguments.reset_after or self.arguments.swallow_after):
            self.misbehaves = connection

    def read(self, connection):
        limit = self.arguments.reset_after or self.arguments.swallow_after
        misbehaves = connection is self.misbehaves
        wanted = limit - self.files[connection].tell() if misbehaves else 65536
        try:
            data = connection.recv(wanted)
        except ConnectionError:
            data = b""
        if not data:
            self.files.pop(connection).close()
            connection.close()
            return
        self.files[connection].write(data)
        if misbehaves and len(data) == wanted:
            self.misbehaves = None
            if self.arguments.swallow_after:
                swallow(connection)  # what it has acknowledged is read all the same
                return
            self.files.pop(connection).close()
            reset(connection)

    def run(self):
        while True:
            ready, _, _ = select.select([self.listener, *self.files], [], [])
            for sock in ready:
                if sock is self.listener:
                    self.accept()
                else:
                    self.read(sock)


class Datagrams:
    def __init__(self, arguments):
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", arguments.port))
        self.file = open(f"{arguments.prefix}.1", "wb", buffering=0)

    def run(self):
        while True:
            self.file.write(self.socket.recv(65536))


class Names:
    """A name server that knows no name, or is silent, until SIGUSR1."""

    TYPE_A, NO_SUCH_NAME = 1, 3

    def __init__(self, arguments):
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", arguments.port))
        self.silent = arguments.swallow_connections
        self.knows = False
        wake, self.woken = os.pipe()
        self.wake = wake
        signal.signal(signal.SIGUSR1, lambda *_: os.write(self.woken, b"1"))

    def answer(self, question):
        end = question.index(b"\0", 12) + 5
        kind = struct.unpack_from("!H", question, end - 4)[0]
        found = self.knows and kind == self.TYPE_A
        code = 0 if self.knows else self.NO_SUCH_NAME
        record = struct.pack("!HHHIH4s", 0xC00C, self.TYPE_A, 1, 1, 4, bytes((127, 0, 0, 1))) if found else b""
        return question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(found), 0, 0) + question[12:end] + record

    def run(self):
        while True:
            sources = [self.wake] if self.silent and not self.knows else [self.wake, self.socket]
            ready, _, _ = select.select(sources, [], [])
            if self.wake in ready:
                os.read(self.wake, 1)
                self.knows = True
            elif self.socket in ready:
                question, peer = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(question), peer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("tcp", "udp", "dns"))
    parser.add_argument("port", type=int)
    parser.add_argument("prefix")
    parser.add_argument("--receive-buffer", type=int, metavar="OCTETS", help="of each connection")
    parser.add_argument("--reset-after", type=int, default=0, metavar="OCTETS", help="reset the first connection then")
    parser.add_argument("--swallow-after", type=int, default=0, metavar="OCTETS",
                        help="acknowledge nothing more of the first connection then")
    parser.add_argument("--swallow-connections", action="store_true",
                        help="answer no request for a connection, or for a name, until SIGUSR1")
    arguments = parser.parse_args()
    collector = {"tcp": Connections, "udp": Datagrams, "dns": Names}[arguments.kind](arguments)
    print("ready", flush=True)
    try:
        collector.run()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
