"""Files that stand where another should: the error says what they are and what to do."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import describe_file, explain_missing, refuse_stand_in, wrong_file

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 269060552\n"


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.gguf"))
    return out.getvalue()


def _zip(name: str, content: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def _torch_file(*, zipped: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


FILES = {
    "lfs": (LFS, "Git LFS pointer, not the file itself: run 'git lfs pull'"),
    "annex": (b"/annex/objects/SHA256E-s1--00.gguf\n", "git annex get"),
    "page": (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><body>404</body></html>", "a web page (HTML)"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    "message": (b"Entry not found", "a text file that begins with 'Entry not found'"),
    "json": (b'{"error":"Invalid credentials"}', 'a text file that begins with \'{"error"'),
    "pickle": (_torch_file(zipped=False), "a PyTorch pickle"),
    "torch": (_torch_file(zipped=True), "a PyTorch pickle"),
    "zip": (_zip("model.gguf", b"GGUF"), "a ZIP archive: unpack it first"),
    "shark": (_zip("mimetype", b"application/vnd.shark+zip"), "run it with 'sharkpack run'"),
    "tar": (_tar(), "a tar archive: unpack it first"),
    "gzip": (gzip.compress(b"GGUF"), "a gzip file: unpack it first"),
    "zeros": (bytes(5000), "zeros only, a download that broke off"),
    "empty": (b"", "an empty file: download it again"),
    "ggml": (b"tjgg" + bytes(8), "from before GGUF"),
    "utf16": ("{}".encode("utf-16"), "UTF-16 text"),
    "safetensors": ((2).to_bytes(8, "little") + b"{}", "a safetensors file"),
    "gguf": (b"GGUF\x03\0\0\0", "a GGUF file"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_what_it_is(name: str, tmp_path: Path) -> None:
    content, words = FILES[name]
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    error = wrong_file(path, "a model", "it begins otherwise")
    assert str(error).startswith(f"{path}: not a model but ")
    assert words in str(error)


def test_what_is_not_known_is_said_by_its_problem(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x01\x02\xfe\x00")
    assert str(wrong_file(tmp_path / "x", "a model", "it begins otherwise")).endswith(
        "not a model (it begins otherwise)"
    )


def test_folders_and_unfinished_downloads(tmp_path: Path) -> None:
    assert describe_file(tmp_path) == "a folder: name a file"
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert describe_file(tmp_path) == f"a folder: name the file in it, such as {tmp_path / 'model.gguf'}"
    (tmp_path / "other.gguf.part").write_bytes(b"GGUF")
    assert "a download that is not finished (.part)" in str(describe_file(tmp_path / "other.gguf.part"))
    assert "other.gguf.part, a download that is not finished" in explain_missing(tmp_path / "other.gguf")
    (tmp_path / "link.gguf").symlink_to(".git/annex/objects/none")
    assert "a link to .git/annex/objects/none, which is not there" in explain_missing(tmp_path / "link.gguf")
    assert explain_missing(tmp_path / "none.gguf") == "no such file"


def test_what_only_stands_for_a_file_is_refused_and_text_is_not() -> None:
    for start in (LFS, FILES["page"][0], FILES["annex"][0]):
        with pytest.raises(SharkpackError, match=r"^x: "):
            refuse_stand_in(Path("x"), start)
    for start in (b"version 2 of a story", b"<|im_start|>user", b"{}", b""):
        refuse_stand_in(Path("x"), start)
