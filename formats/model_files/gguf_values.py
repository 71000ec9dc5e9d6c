"""Reading the values of a GGUF header from a mapped file: every length is checked before it is believed."""

import mmap
import struct
from typing import NoReturn

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import one_line

MetadataValue = bool | int | float | str | list[bool] | list[int] | list[float] | list[str]

MAX_KEY_BYTES = 65535

_LENGTH = struct.Struct("<Q")
_STRING = 8
_ARRAY = 9
_BOOL = 7
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    _BOOL: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}


class GGUFCursor:
    """A position in a mapped GGUF file. Every read moves it on, or raises SharkpackError naming the file."""

    def __init__(self, mapping: mmap.mmap, name: str) -> None:
        self.mapping = mapping
        self.name = name
        self.size = len(mapping)
        self.position = 0

    def fail(self, problem: str) -> NoReturn:
        raise SharkpackError(f"{self.name}: {one_line(problem)}")

    def uint32(self) -> int:
        return int(self._unpack(_SCALARS[4]))

    def uint64(self) -> int:
        return int(self._unpack(_LENGTH))

    def string(self, what: str, *, most: int | None = None) -> str:
        """A length-prefixed UTF-8 string of at most `most` bytes; `what` names it in an error."""
        length = self.uint64()
        if most is not None and length > most:
            self.fail(f"{what} has {length} bytes; at most {most} are allowed")
        self.need(length, what)
        start = self.position
        self.position += length
        try:
            return str(self.mapping[start : self.position], "utf-8")
        except UnicodeDecodeError:
            self.fail(f"{what} is not valid UTF-8 (byte {start} of the file)")

    def value(self, key: str) -> MetadataValue:
        """The typed value that follows `key`."""
        type_id = self.uint32()
        if type_id == _STRING:
            return self.string(f"the value of '{key}'")
        if type_id == _ARRAY:
            return self._array(key)
        if type_id not in _SCALARS:
            self.fail(f"'{key}' has value type {type_id}, which GGUF does not define")
        number = self._unpack(_SCALARS[type_id])
        return self._boolean(key, int(number)) if type_id == _BOOL else number

    def need(self, count: int, what: str) -> None:
        """Raise SharkpackError unless `count` more bytes are in the file."""
        if count > self.size - self.position:
            self.fail(
                f"the file is cut short: {what} needs {count} bytes from byte {self.position}, "
                f"and the file has {self.size} bytes; download or convert it again"
            )

    def _unpack(self, scalar: struct.Struct) -> int | float:
        self.need(scalar.size, "its header")
        (number,) = scalar.unpack_from(self.mapping, self.position)
        self.position += scalar.size
        return number  # type: ignore[no-any-return]

    def _boolean(self, key: str, number: int) -> bool:
        if number > 1:
            self.fail(f"'{key}' is a boolean with the value {number}; expected 0 or 1")
        return number == 1

    def _array(self, key: str) -> MetadataValue:
        type_id = self.uint32()
        count = self.uint64()
        if type_id == _STRING:
            return self._strings(key, count)
        if type_id not in _SCALARS:
            self.fail(f"'{key}' is an array of value type {type_id}, which is not supported")
        scalar = _SCALARS[type_id]
        self.need(count * scalar.size, f"the array '{key}'")
        values = np.frombuffer(self.mapping, np.dtype(scalar.format), count, self.position)
        self.position += count * scalar.size
        if type_id == _BOOL:
            return [self._boolean(key, int(number)) for number in values]
        return values.tolist()  # type: ignore[no-any-return]

    def _strings(self, key: str, count: int) -> list[str]:
        """`count` strings; the loop is bare because vocabularies have hundreds of thousands."""
        self.need(count * _LENGTH.size, f"the array '{key}'")
        mapping, position, size, unpack = self.mapping, self.position, self.size, _LENGTH.unpack_from
        values = []
        try:
            for _ in range(count):
                start = position + 8
                position = start + unpack(mapping, position)[0]
                if position > size:
                    raise struct.error
                values.append(str(mapping[start:position], "utf-8"))
        except struct.error:
            self.fail(
                f"the file is cut short: item {len(values)} of the array '{key}' ends past its {size} bytes; "
                "download or convert it again"
            )
        except UnicodeDecodeError:
            self.fail(f"item {len(values)} of the array '{key}' is not valid UTF-8")
        self.position = position
        return values
