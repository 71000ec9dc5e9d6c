"""The files that an export writes beside a program's MLIR say the same of its texts as the factory did."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.plan import make_plan
from sharkpack.bundler.program_files import write_descriptions
from sharkpack.bundler.sources import TokenizerFiles, open_source
from sharkpack.bundler.sources.program_description import read_description
from sharkpack.bundler.tokenizer import tokenizer_of

FACTORY = """
from pathlib import Path
from tests.bundler.sources.program.programs import program
SIZES = {"page_size": 16, "context_length": 16, "page_elements": 5}
def make(): return program(**SIZES, tokenizer=Path(__file__).parent / "tokenizer", license="MIT")
"""


def _write_tokenizer(folder: Path) -> None:
    """It begins each text with a token of its own, which its post-processor adds; two tokens end one."""
    folder.mkdir()
    pieces = ["<s>", "</s>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())[:200]]
    tokenizer = Tokenizer(models.BPE(vocab={piece: id for id, piece in enumerate(pieces)}, merges=[]))
    tokenizer.add_special_tokens(["<s>", "</s>", "<end>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")


def test_a_description_is_read_back(tmp_path: Path) -> None:
    _write_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "program.py").write_text(FACTORY)
    out = tmp_path / "out"
    out.mkdir()
    with open_source(f"{tmp_path / 'program.py'}:make") as source:
        plan = make_plan(source, BuildOptions(source="", batch_sizes=(1,)))
    write_descriptions(plan, [out / "program.mlir"], "parameters.irpa")
    (out / "tokenizer.json").write_bytes(plan.tokenizer.json)
    (out / "chat_template.jinja").write_text(plan.tokenizer.chat_template or "")
    description, parameters = read_description(out / "program.mlir")
    assert parameters == out / "parameters.irpa"
    assert (description.name, description.license, description.context_length) == ("sums", "MIT", 16)
    assert (description.page_elements, description.page_size, description.cache_dtype) == (32, 16, "f32")
    assert description.tokenizer == out
    assert plan.tokenizer.add_bos
    assert plan.tokenizer.end_token_ids == (1, 2)
    files = TokenizerFiles(folder=out, config={}, rows=description.vocab_size)
    assert tokenizer_of(files) == plan.tokenizer
