"""A small hub on loopback: the calls that huggingface_hub makes for a model, and the ways in which they fail."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from tests.loopback import served

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass(eq=False)
class Hub:
    """Repositories as {name: {path: bytes}}, with one commit and the branch main each.

    gated: repositories that want a token, and the one that they take. cut: paths whose first download breaks off in
    the middle. `requests` gathers "METHOD path range".
    """

    repositories: dict[str, dict[str, bytes]]
    gated: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator["Hub"]:
        with served(type("Handler", (_Handler,), {"hub": self})) as self.url:
            yield self


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if found := _FILE.fullmatch(path):
            self._file(found[1], found[2], found[3], body=body)
        elif found := _API.fullmatch(path):
            self._api(found[1], found[2] or "revision", found[3] or "main")
        else:
            self._fail(404, "EntryNotFound")

    def _refused(self, repo: str, revision: str) -> bool:
        if repo not in self.hub.repositories:
            self._fail(401, "RepoNotFound")
        elif repo in self.hub.gated and self.headers.get("Authorization") != f"Bearer {self.hub.gated[repo]}":
            self._fail(403, "GatedRepo")
        elif revision not in ("main", COMMIT):
            self._fail(404, "RevisionNotFound")
        else:
            return False
        return True

    def _api(self, repo: str, what: str, revision: str) -> None:
        if self._refused(repo, revision):
            return
        files = self.hub.repositories[repo]
        if what == "tree":
            self._json([{"type": "file", "path": p, "size": len(d), "oid": _etag(d)} for p, d in files.items()])
        else:
            siblings = [{"rfilename": path} for path in files]
            self._json({"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "siblings": siblings})

    def _file(self, repo: str, revision: str, path: str, *, body: bool) -> None:
        if self._refused(repo, revision):
            return
        data = self.hub.repositories[repo].get(path)
        if data is None:
            self._fail(404, "EntryNotFound")
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{_etag(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            self._send(path, data[start:])

    def _send(self, path: str, data: bytes) -> None:
        if path in self.hub.cut:
            self.hub.cut.remove(path)
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
