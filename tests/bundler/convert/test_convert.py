"""Models written as GGUF and IRPA: what was read comes back, to the byte where nothing had to change."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer

from sharkpack.bundler.convert import ConvertOptions, convert_model
from sharkpack.bundler.convert.gguf_tensors import halves_to_neighbours
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.plan import make_plan
from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.sources import TokenizerSource, open_source
from sharkpack.bundler.tokenizer import tokenizer_of
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.formats.model_files.irpa import read_irpa_index
from sharkpack.formats.quant import dequantize
from sharkpack.templates.layers.rope import neighbours_to_halves
from tests.bundler.quantize.models import quantized_source
from tests.checkpoints import write_checkpoint_of
from tests.sentencepiece_files import sentencepiece_model
from tests.tiny_checkpoints import edit_json
from tests.tiny_models import write_tiny_gguf

TEXTS = ("the of the", "Hello world", "the 123 in\n\nit's é日", "<start_of_turn>the<end_of_turn>", "")


def convert(source: Path, output: Path, scheme: str | None = None, *, force: bool = False) -> Path:
    quantize = None if scheme is None else QuantizeOptions(scheme=scheme)
    options = ConvertOptions(source=str(source), output=output, quantize=quantize, force=force)
    report = convert_model(options, SilentProgress())
    assert report.size == output.stat().st_size
    return output


def test_a_gguf_file_comes_out_as_it_went_in(tmp_path: Path) -> None:
    source = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "Q4_K")
    assert convert(source, tmp_path / "again.gguf").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("scheme", ["q8_0", "q4_k"])
def test_a_quantised_file_has_the_bytes_that_the_view_has(tmp_path: Path, scheme: str) -> None:
    source = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16", dim=256, ffn=512, head_dim=64)
    path = convert(source, tmp_path / "made.gguf", scheme)
    with open_source(str(source)) as opened, GGUFFile.open(path) as file:
        view = quantized_source(opened, QuantizeOptions(scheme=scheme)).model
        assert {name: each.type_name for name, each in file.tensors.items()} == {
            name: each.type_name for name, each in view.tensors.items()
        }
        assert all(np.array_equal(file.raw(name), each.read()) for name, each in view.tensors.items())
        assert dict(file.metadata) == {**opened.metadata, **view.metadata}
    for tensor in gguf.GGUFReader(path).tensors:  # readable by the gguf package too
        assert tensor.data.nbytes == tensor.n_bytes


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3"])
def test_what_was_a_checkpoint_can_be_built(tmp_path: Path, architecture: str) -> None:
    folder = write_checkpoint_of(write_tiny_gguf(tmp_path / "tiny.gguf", architecture, "F16"), tmp_path / "checkpoint")
    path = convert(folder, tmp_path / "made.gguf", "q8_0")
    with open_source(str(path)) as source:
        plan = make_plan(source, BuildOptions(source=str(path), context=64))
        assert source.quantization == "Q8_0"
    assert plan.model.weights["token_embd.weight"].type_name == "q8_0"


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_checkpoint_becomes_the_gguf_file_that_it_was(tmp_path: Path, architecture: str) -> None:
    """The checkpoint of a GGUF file, converted back: same values, rows of heads in ggml's order, same vocabulary."""
    source = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, "F16", tied=False)
    folder = write_checkpoint_of(source, tmp_path / "checkpoint", "float16")
    with GGUFFile.open(source) as was, GGUFFile.open(convert(folder, tmp_path / "made.gguf")) as now:
        assert set(now.tensors) == set(was.tensors)
        for name, tensor in was.tensors.items():
            values = dequantize(tensor.type_name, was.raw(name), tensor.shape).astype(np.float16)
            made = now.tensors[name]
            assert made.type_name == ("F32" if len(tensor.shape) == 1 else "F16")
            assert np.array_equal(dequantize(made.type_name, now.raw(name), made.shape), values.astype(np.float32)), (
                name
            )
        same = [f"{architecture}.{key}" for key in ("block_count", "attention.head_count_kv", "rope.freq_base")]
        same += [f"tokenizer.ggml.{key}" for key in ("model", "tokens", "token_type", "merges", "eos_token_id")]
        assert {key: now.metadata[key] for key in same} == {key: was.metadata[key] for key in same}
        assert now.metadata["tokenizer.ggml.pre"] == was.metadata["tokenizer.ggml.pre"]
        assert now.metadata["general.file_type"] == 1


def test_the_order_of_rotated_rows_is_undone_by_what_recipes_do() -> None:
    there, back = halves_to_neighbours(3, 32, 24), neighbours_to_halves(3, 32, 24)
    assert np.array_equal(there[back], np.arange(96))


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}], "smollm"),
        ([{"type": "ByteLevel", "add_prefix_space": False}], "gpt-2"),
        (
            [
                {
                    "type": "Split",
                    "pattern": {
                        "Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
                        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
                    },
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False, "trim_offsets": False},
            ],
            "qwen2",
        ),
    ],
)
def test_published_ways_to_cut_words_are_known_by_name(tmp_path: Path, steps: list[object], name: str) -> None:
    folder = write_checkpoint_of(write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "checkpoint")
    full = [{"add_prefix_space": False, "trim_offsets": True, **step} for step in steps]  # type: ignore[dict-item]
    edit_json(folder / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": full})
    with GGUFFile.open(convert(folder, tmp_path / "made.gguf")) as file:
        assert file.metadata["tokenizer.ggml.pre"] == name


@pytest.mark.parametrize("with_model", [False, True])
def test_a_sentencepiece_vocabulary_gives_the_ids_that_it_gave(tmp_path: Path, with_model: bool) -> None:
    """From tokenizer.json alone, by the order of its merges; from a tokenizer.model beside it, by its scores."""
    source = write_tiny_gguf(tmp_path / "tiny.gguf", "gemma3", "F16")
    folder = write_checkpoint_of(source, tmp_path / "checkpoint", "float16")
    with open_source(str(source)) as was:
        assert isinstance(was.tokenizer, TokenizerSource)
        if with_model:
            _write_sentencepiece(folder / "tokenizer.model", was.tokenizer)
        expected = tokenizer_of(was.tokenizer)
    with open_source(str(convert(folder, tmp_path / "made.gguf"))) as now:
        made = tokenizer_of(now.tokenizer)
        rows = now.tensor("token_embd.weight").shape[0]
        assert isinstance(now.tokenizer, TokenizerSource)
        assert len(now.tokenizer.tokens) == rows
    ids = [[Tokenizer.from_buffer(each.json).encode(text).ids for text in TEXTS] for each in (expected, made)]
    assert ids[0] == ids[1]
    assert (made.bos_token, made.eos_token, made.add_bos) == (expected.bos_token, expected.eos_token, expected.add_bos)


def _write_sentencepiece(path: Path, vocabulary: TokenizerSource) -> None:
    scores, types = vocabulary.scores, vocabulary.token_types
    assert scores is not None
    assert types is not None
    path.write_bytes(sentencepiece_model(vocabulary.tokens, scores, types, add_prefix=False))


def test_tokenizers_that_gguf_has_no_words_for_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint_of(write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "checkpoint")
    path, output = folder / "tokenizer.json", tmp_path / "made.gguf"
    original = path.read_text("utf-8")
    edit_json(path, pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(SharkpackError, match="its tokenizer cuts words in a way that GGUF has no name for here; "):
        convert(folder, output)
    document = json.loads(original)
    document["model"]["byte_fallback"] = True
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(
        SharkpackError, match="which falls back to bytes, and does not write spaces as SentencePiece does; "
    ):
        convert(folder, output)
    assert not output.exists()


def test_an_archive_has_every_tensor_under_its_name(tmp_path: Path) -> None:
    source = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16")
    data = convert(source, tmp_path / "made.irpa").read_bytes()
    index = read_irpa_index(memoryview(data))
    with GGUFFile.open(source) as file:
        assert list(index) == list(file.tensors)
        assert all(data[at : at + size] == file.raw(name).tobytes() for name, (at, size) in index.items())


def test_outputs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    source = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "Q8_0")
    before = source.read_bytes()
    with pytest.raises(SharkpackError, match=r"out\.bin: end its name in \.gguf or \.irpa, to say what to write$"):
        convert(source, tmp_path / "out.bin")
    with pytest.raises(SharkpackError, match="is the source itself"):
        convert(source, source, force=True)
    convert(source, tmp_path / "out.gguf")
    with pytest.raises(SharkpackError, match="exists; choose another name with -o, or replace it with --force"):
        convert(source, tmp_path / "out.gguf")
    convert(source, tmp_path / "out.gguf", force=True)
    with pytest.raises(SharkpackError, match="is Q8_0 already"):
        convert(source, tmp_path / "other.gguf", "q4_0")
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gguf", "tiny.gguf"]


def test_nothing_stays_of_a_conversion_that_fails(tmp_path: Path) -> None:
    source = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16")
    data = bytearray(source.read_bytes())
    last = max(gguf.GGUFReader(source).tensors, key=lambda tensor: int(tensor.data_offset))
    data[int(last.data_offset) : int(last.data_offset) + 4] = b"\0\x7c\0\x7c"  # infinities
    source.write_bytes(data)
    with pytest.raises(SharkpackError, match="not a finite number"):
        convert(source, tmp_path / "out.gguf", "q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]
