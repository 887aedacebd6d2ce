"""`Audio`: samples or a sound file."""

from __future__ import annotations

import io
import mimetypes
import wave
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stepwell.errors import UnstorableError
from stepwell.media.arrays import as_array
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.sources import FileSource, Snapshot, is_file_source
from stepwell_schemas.rules.kinds import Kind

_WAV: Final = "audio/wav"
_CHANNELS_MAX: Final = 64
"""Channels of recordings: more than those of any common microphone array. A larger dimension is time."""

_PCM16_MAX: Final = 2**15 - 1
_OTHER_TYPES: Final = {
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "opus": "audio/ogg",
    "oga": "audio/ogg",
    "weba": "audio/webm",
}


class Audio(Media):
    """Sound.

    Args:
        data_or_path: samples as [n], [n, channels] or [channels, n] (floats within -1…1, int16, int32 or uint8;
            written as WAV, floats in 16 bits), a path (read when it is logged), the bytes of a sound file, or an open
            file. Two dimensions are [n, channels], unless only the second one has more than 64 entries.
        sample_rate: samples per second; required for samples.
        caption: text shown below it.
    """

    kind: ClassVar[Kind] = Kind.AUDIO

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        self._caption = caption
        self._sample_rate = sample_rate
        self._source = FileSource(data_or_path) if is_file_source(data_or_path) else None
        self._samples = None if self._source else Snapshot(lambda: _wav(data_or_path, sample_rate))

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the sound; see `Media.take`. A WAV file has `sample_rate`, `channels`, `duration` (s)."""
        if self._samples is not None:
            content, content_type = self._samples.get(), _WAV
        else:
            assert self._source is not None  # noqa: S101 - sound has samples or a source
            content = self._source.read(keep)
            content_type = _content_type(content, self._source)
        reference = {"sample_rate": self._sample_rate, **(_wav_facts(content) if content_type == _WAV else {})}
        if self._caption is not None:
            reference["caption"] = str(self._caption)
        known = {name: value for name, value in reference.items() if value is not None}
        return {**file_reference(keep, content, content_type), **known}


def _wav(data: Any, sample_rate: int | None) -> bytes:
    if not sample_rate or sample_rate < 1:
        raise UnstorableError(f"sample_rate {sample_rate}: required for samples, in samples per second")
    samples = as_array(data)
    samples = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    if samples.ndim not in {1, 2} or not samples.size:
        raise UnstorableError(f"shape {list(samples.shape)}: samples must be [n], [n, channels] or [channels, n]")
    if samples.ndim == 2:
        samples = _with_channels_last(samples)
    if samples.dtype.kind == "f":
        samples = np.rint(np.clip(np.nan_to_num(samples), -1, 1) * _PCM16_MAX).astype("<i2")
    elif samples.dtype == np.int64:
        # Python integers: assumed to be 16-bit samples, the most common format.
        samples = np.clip(samples, -_PCM16_MAX - 1, _PCM16_MAX).astype("<i2")
    if samples.dtype not in (np.uint8, np.int16, np.int32):
        raise UnstorableError(f"samples must be floats, int16, int32 or uint8, not {samples.dtype}")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(int(sample_rate))
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def _with_channels_last(samples: NDArray[Any]) -> NDArray[Any]:
    first, second = samples.shape
    if second <= _CHANNELS_MAX:
        return samples
    if first <= _CHANNELS_MAX:
        return np.ascontiguousarray(samples.T)
    raise UnstorableError(
        f"shape [{first}, {second}]: neither {first:,} samples of {second:,} channels, nor {second:,} samples of "
        f"{first:,} channels; sound has at most {_CHANNELS_MAX} channels"
    )


def _content_type(content: bytes, source: FileSource) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return _WAV
    signatures = {b"ID3": "audio/mpeg", b"fLaC": "audio/flac", b"OggS": "audio/ogg"}
    by_content = next((kind for start, kind in signatures.items() if content.startswith(start)), "")
    by_name = _OTHER_TYPES.get(source.extension) or mimetypes.guess_type(source.name)[0]
    return by_content or by_name or "application/octet-stream"


def _wav_facts(content: bytes) -> dict[str, Any]:
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate, frames, channels = file.getframerate(), file.getnframes(), file.getnchannels()
    except (wave.Error, EOFError):
        # A WAV with another encoding than PCM; browsers may still play it.
        return {}
    return {"sample_rate": rate, "channels": channels, "duration": frames / rate if rate else 0.0}
