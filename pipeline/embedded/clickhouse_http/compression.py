"""HTTP bodies, packed and unpacked: chunks of bytes in, chunks of bytes out.

A request body may hold many compressed frames: clickhouse-connect sends one per block of 16,384 rows. A decoder that
stops after the first one loses rows in silence.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import lz4.frame

from pipeline.embedded.clickhouse_http.errors import refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ANY_ZLIB_HEADER = 47
_GZIP = 31

_DECOMPRESSORS: Mapping[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(_ANY_ZLIB_HEADER),
    "deflate": zlib.decompressobj,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
}


class Decoder:
    """Unpacks a request body, chunk by chunk, frame after frame."""

    def __init__(self, encoding: str | None) -> None:
        """Raises ClickHouseError for a Content-Encoding that nobody here knows."""
        name = (encoding or "identity").lower()
        if name != "identity" and name not in _DECOMPRESSORS:
            raise refusal(36, "BAD_ARGUMENTS", f"Unknown compression method: {name}")
        self._new_frame = _DECOMPRESSORS.get(name)
        self._frame: Any = None

    def feed(self, data: bytes) -> bytes:
        """What these bytes unpack to; the rest of an unfinished frame is kept."""
        if self._new_frame is None:
            return data
        unpacked = []
        while data:
            if self._frame is None:
                self._frame = self._new_frame()
            unpacked.append(self._frame.decompress(data))
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data or b""
                self._frame = None
        return b"".join(unpacked)

    def end(self) -> None:
        """Raises ClickHouseError if the body ended inside a frame."""
        if self._frame is not None:
            raise refusal(271, "CANNOT_DECOMPRESS", "Compressed request body ends inside a frame")


class Encoder:
    """Packs a response in the first way of ours that the client takes; `name` is None for not at all."""

    def __init__(self, accepted: str) -> None:
        offers = {offer.partition(";")[0].strip() for offer in accepted.lower().split(",")}
        self.name: str | None = next((name for name in ("lz4", "zstd", "gzip") if name in offers), None)
        self._pending = b""
        self._packer: Any = None
        if self.name == "lz4":
            self._packer = lz4.frame.LZ4FrameCompressor()
            self._pending = self._packer.begin()
        elif self.name == "zstd":
            self._packer = zstd.ZstdCompressor()
        elif self.name == "gzip":
            self._packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)

    def feed(self, data: bytes) -> bytes:
        """What can be sent already."""
        if self._packer is None:
            return data
        return self._take_pending() + bytes(self._packer.compress(data))

    def end(self) -> bytes:
        """What is left to send."""
        return self._take_pending() + bytes(self._packer.flush()) if self._packer is not None else b""

    def _take_pending(self) -> bytes:
        pending, self._pending = self._pending, b""
        return pending
