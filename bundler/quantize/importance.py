"""The importance of each input of each matrix, measured on the model itself: by what random tokens put into it.

What makes some inputs matter far more than others is the model, not the text: a few columns are always large. So
tokens drawn from the whole vocabulary find them, no text need be given, and no text is favoured. The reasons and the
figures are in docs/decisions/measured-importance.md.
"""

import random
from collections.abc import Callable, Mapping

import numpy as np
import torch

from sharkpack.bundler.model_spec.weight_bytes import convert
from sharkpack.bundler.progress import StartStep
from sharkpack.bundler.quantize.inputs import Inputs
from sharkpack.bundler.quantize.streamed import StreamedEmbedding, StreamedExperts, StreamedLinear, StreamedWeight
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant.block import Floats
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.expert_block import ExpertLinear
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Embedding, Linear
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.layers.weights import PackedWeight

SEQUENCES = 16
LENGTH = 16
"""Tokens of a sequence: short ones, since its first tokens are where inputs are largest."""


def measure_importance(source: SourceModel, step: StartStep) -> Mapping[str, Floats]:
    """Returns, by tensor name, the mean square of each input, float32 [columns] or [experts * columns].

    The same on every run of a machine. Takes one pass over the weights, of which a slab is in memory; the output head
    is not multiplied with. Raises SharkpackError for a model that no recipe knows, or that overflows.
    """
    if source.architecture not in RECIPES:
        raise SharkpackError(f"architecture '{source.architecture}' is not supported; supported: {', '.join(RECIPES)}")
    options = ModelOptions(
        context_length=min(LENGTH, source.integer("context_length")),
        page_size=LENGTH,
        cache_dtype="f32",
    )
    model = RECIPES[source.architecture].build(source, options)
    assert isinstance(model, Decoder)
    inputs = Inputs()
    with step("importance", _rows(model)) as done, torch.no_grad():
        _stream(model, source, inputs, done.advance)
        last = _run(model, _tokens(source, options.context_length, model.vocab_size))
        inputs.add("token_embd.weight" if model.output is None else "output.weight", model.output_norm(last))
    means = inputs.means()
    for name, values in means.items():
        if not np.isfinite(values).all():
            raise SharkpackError(f"the inputs of '{name}' are not all finite numbers")
    return means


def _rows(model: CausalModel) -> int:
    """Returns the rows of all matrices but the output head, as a measure of the work."""
    matrices = [each for path, each in model.named_modules() if path != "output"]
    return sum(each.n * getattr(each, "experts", 1) for each in matrices if isinstance(each, Linear | ExpertLinear))


def _run(model: CausalModel, tokens: torch.Tensor) -> torch.Tensor:
    """Returns the output of the last layer for each token [N * S, dim]."""
    count, length = tokens.shape
    cache = torch.zeros(count, model.cache_layout.page_elements)
    starts, lengths = torch.zeros(count, dtype=torch.int64), torch.full((count,), length)
    hidden, _ = model.hidden(tokens, starts, lengths, torch.arange(count)[:, None], cache)
    return hidden


def _tokens(source: SourceModel, length: int, vocabulary: int) -> torch.Tensor:
    """[SEQUENCES, length] i64. Every other sequence begins as texts do, where the model has a token for that."""
    draw = random.Random(0)
    rows = [[draw.randrange(vocabulary) for _ in range(length)] for _ in range(SEQUENCES)]
    first = _first_token(source)
    if isinstance(first, int) and 0 <= first < vocabulary:
        for row in rows[::2]:
            row[0] = first
    return torch.tensor(rows)


def _first_token(source: SourceModel) -> object:
    tokenizer = source.tokenizer
    if isinstance(tokenizer, TokenizerFiles):
        return tokenizer.config.get("bos_token_id")
    return tokenizer.special_ids.get("bos")


def _stream(model: CausalModel, source: SourceModel, inputs: Inputs, advance: Callable[[int], None]) -> None:
    """Leave the matrices in the source; load the vectors and tables, which are small."""
    for path, module in list(model.named_modules()):
        if not isinstance(module, Linear | ExpertLinear | Embedding):
            continue
        weight = model.weights[f"{path}.weight"]
        assert isinstance(weight, PackedWeight)
        streamed = StreamedWeight(weight, source.tensor(weight.tensor), advance)
        match module:
            case Linear():
                made: torch.nn.Module = StreamedLinear(module, streamed, inputs)
            case ExpertLinear():
                made = StreamedExperts(module, streamed, inputs)
            case Embedding():
                made = StreamedEmbedding(module, streamed)
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, made)
    for name, buffer in model.state_dict(keep_vars=True).items():
        buffer.copy_(torch.from_numpy(convert(model.weights[name], source).view("f4").reshape(buffer.shape)))
