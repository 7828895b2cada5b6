"""Write and read the few protobuf messages that the node exchanges with Envoy and istiod, framed as in gRPC."""

import asyncio
import struct
from collections.abc import AsyncIterator
from io import BytesIO

from aiohttp import StreamReader

Fields = dict[int, list[bytes]]
"""The texts and messages in a message, by field number; its numbers are left out."""

_VARINT = 0
_LENGTH_DELIMITED = 2
_PREFIX = struct.Struct(">BI")


def field(number: int, value: str | bytes | int) -> bytes:
    """Encode one field."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def fields(message: bytes) -> Fields:
    """Decode a message one level deep."""
    found: Fields = {}
    stream = BytesIO(message)
    while key := _read_varint(stream):
        number, kind = key >> 3, key & 7
        value = _read_varint(stream)
        if kind == _LENGTH_DELIMITED:
            found.setdefault(number, []).append(stream.read(value))
        elif kind != _VARINT:
            raise ValueError(f"field {number} has wire type {kind}")
    return found


def frame(message: bytes) -> bytes:
    """Put gRPC's prefix before a message: not compressed, and the length."""
    return _PREFIX.pack(0, len(message)) + message


def unframe(content: bytes) -> bytes:
    """Return the one message of a gRPC answer."""
    return content[_PREFIX.size :]


async def frames(stream: StreamReader) -> AsyncIterator[bytes]:
    """Yield the messages of a gRPC stream until it ends."""
    while True:
        try:
            _, length = _PREFIX.unpack(await stream.readexactly(_PREFIX.size))
            message = await stream.readexactly(length)
        except asyncio.IncompleteReadError:
            return
        yield message


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(stream: BytesIO) -> int:
    """Return the next number, 0 at the end."""
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] <= 0x7F:
            break
    return value
