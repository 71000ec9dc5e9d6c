"""A Python package index on loopback, with wheels made here; downloads can be cut off, and go on by Range."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from tests.loopback import served


@dataclass(eq=False)
class PackageIndex:
    """`wheels` by file name. cut: files whose next download breaks off in the middle. `requests`: "path range"."""

    wheels: dict[str, bytes]
    cut: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator["PackageIndex"]:
        with served(type("Handler", (_Handler,), {"index": self})) as url:
            self.url = f"{url}/simple"
            yield self


def wheel(name: str, version: str, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The name and the bytes of a wheel that holds `files`."""
    information = f"{name}-{version}.dist-info"
    texts = {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": b"",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in (dict(files) | texts).items():
            archive.writestr(path, data)
    return f"{name}-{version}-py3-none-any.whl", out.getvalue()


class _Handler(BaseHTTPRequestHandler):
    index: ClassVar[PackageIndex]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.index.requests.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        words = [word for word in self.path.split("/") if word]
        if words[0] == "simple" and len(words) == 2:
            names = [name for name in self.index.wheels if name.partition("-")[0].replace("_", "-") == words[1]]
            links = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
            self._send(200 if names else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode())
        else:
            self._file(words[1])

    def log_message(self, *arguments: Any) -> None:
        pass

    def _file(self, name: str) -> None:
        data = self.index.wheels[name]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", '"one"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        data = data[start:]
        if name in self.index.cut:
            self.index.cut.remove(name)
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
