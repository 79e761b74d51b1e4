"""Request bodies of many frames, cut anywhere; responses in what the client takes."""

import gzip
import zlib

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedded.clickhouse_http.compression import Decoder, Encoder, zstd
from pipeline.embedded.clickhouse_http.errors import ClickHouseError

PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress, "zstd": zstd.compress}


@given(
    encoding=st.sampled_from(sorted(PACKERS)),
    frames=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5),
    cut=st.integers(1, 40),
)
def test_every_frame_is_unpacked_however_the_body_is_cut(encoding: str, frames: list[bytes], cut: int) -> None:
    packed = b"".join(PACKERS[encoding](frame) for frame in frames)
    decoder = Decoder(encoding)
    unpacked = b"".join(decoder.feed(packed[at : at + cut]) for at in range(0, len(packed), cut))
    decoder.end()
    assert unpacked == b"".join(frames)


@pytest.mark.parametrize("encoding", sorted(PACKERS))
def test_a_body_that_ends_inside_a_frame_is_an_error(encoding: str) -> None:
    packed = PACKERS[encoding](b"whole") + PACKERS[encoding](b"cut off")[:-1]
    decoder = Decoder(encoding)
    decoder.feed(packed)
    with pytest.raises(ClickHouseError) as failure:
        decoder.end()
    assert failure.value.code == 271


def test_no_encoding_leaves_bytes_as_they_are() -> None:
    decoder = Decoder(None)
    assert decoder.feed(b"as they are") == b"as they are"
    decoder.end()


def test_an_unknown_encoding_is_an_error() -> None:
    with pytest.raises(ClickHouseError, match="Unknown compression method: br"):
        Decoder("br")


@pytest.mark.parametrize(
    ("accepted", "name"),
    [("lz4, zstd", "lz4"), ("gzip;q=1.0, zstd", "zstd"), ("gzip, deflate", "gzip"), ("br", None), ("", None)],
)
def test_the_first_of_ours_that_the_client_takes(accepted: str, name: str | None) -> None:
    assert Encoder(accepted).name == name


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip"])
@pytest.mark.parametrize("chunks", [[], [b"one"], [b"one", b"", b"two" * 1000]])
def test_what_is_packed_unpacks_to_the_same(encoding: str, chunks: list[bytes]) -> None:
    encoder, decoder = Encoder(encoding), Decoder(encoding)
    packed = b"".join([encoder.feed(chunk) for chunk in chunks] + [encoder.end()])
    unpacked = decoder.feed(packed)
    decoder.end()
    assert unpacked == b"".join(chunks)
