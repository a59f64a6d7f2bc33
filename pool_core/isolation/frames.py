"""What a worker process and its owner say to each other: frames of bytes over a socket."""

from __future__ import annotations

import socket
import struct
from time import monotonic

__all__ = ["receive_frame", "send_frame"]

_LENGTH = struct.Struct(">Q")
_LARGEST_PIECE = 1 << 20


def send_frame(channel: socket.socket, data: bytes, until: float | None = None) -> None:
    """Send one frame. Raises `OSError` where nobody reads; `TimeoutError` past ``until`` (monotonic seconds)."""
    _set_timeout(channel, until)
    channel.sendall(_LENGTH.pack(len(data)))
    channel.sendall(data)


def receive_frame(channel: socket.socket, until: float | None = None) -> bytes | None:
    """Receive one frame, None where the other end was closed. Raises `TimeoutError` past ``until``."""
    head = _receive(channel, _LENGTH.size, until)
    return None if head is None else _receive(channel, _LENGTH.unpack(head)[0], until)


def _receive(channel: socket.socket, size: int, until: float | None) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        _set_timeout(channel, until)
        piece = channel.recv(min(size - len(data), _LARGEST_PIECE))
        if not piece:
            return None
        data += piece
    return bytes(data)


def _set_timeout(channel: socket.socket, until: float | None) -> None:
    if until is None:
        return
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    channel.settimeout(left)
