# SPDX-License-Identifier: Apache-2.0
"""Reads ExportTraceServiceRequests without a protobuf library: the second of the tests' own readers."""
import struct


def _varint(data, at):
    value = shift = 0
    while True:
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
        shift += 7


def _fields(data):
    """(number, value) of every field: an integer, or the octets."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
            if len(value) != size:
                raise ValueError("a field ends behind its message")
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, value


def _value(data):
    for number, value in _fields(data):
        if number == 1:
            return value.decode()
        if number == 2:
            return bool(value)
        if number == 3:
            return value - (1 << 64) if value >> 63 else value
        if number == 4:
            return struct.unpack("<d", struct.pack("<Q", value))[0]
        if number == 5:
            return [_value(item) for _, item in _fields(value)]
    return None


def _attributes(data, number):
    attributes = {}
    for field, value in _fields(data):
        if field == number:
            pair = dict(_fields(value))
            attributes[pair[1].decode()] = _value(pair[2])
    return attributes


def _span(data, resource):
    fields = {number: value for number, value in _fields(data) if number != 9}
    return {"trace_id": fields[1].hex(), "span_id": fields[2].hex(), "name": fields[5].decode(), "kind": fields[6],
            "start": fields[7], "end": fields[8], "attributes": _attributes(data, 9), "resource": resource}


def read_request(data):
    """The spans of one request."""
    spans = []
    for _, resource_spans in _fields(data):
        parts = list(_fields(resource_spans))
        resource = next((_attributes(value, 1) for number, value in parts if number == 1), {})
        for number, scope_spans in parts:
            if number == 2:
                spans += [_span(value, resource) for field, value in _fields(scope_spans) if field == 2]
    return spans


def read_file(path):
    """The spans of a file of requests, each behind its size in four octets; an unfinished one at the end is none."""
    spans = []
    data = path.read_bytes() if path.exists() else b""
    at = 0
    while at + 4 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if at + 4 + size > len(data):
            break
        spans += read_request(data[at + 4:at + 4 + size])
        at += 4 + size
    return spans


def record_of(span):
    """A span as the JSON line of the same record has it, without the fields that are only a span's."""
    own = ("flow.direction", "network.interface.mac", "flow.ip.dscp.name", "flow.ip.ecn.name", "flow.icmp.type.name",
           "flow.icmp.code.name", "flow.reverse.ip.dscp.name", "flow.reverse.ip.ecn.name",
           "flow.reverse.icmp.type.name", "flow.reverse.icmp.code.name", "ipip.network.type",
           "ipip.network.transport", "ipip.source.address", "ipip.destination.address")
    return {name: value for name, value in span["attributes"].items() if name not in own}
