"""The type of each tensor of a quantised model: llama.cpp's mixtures, finer where errors do most harm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.quantize import QUANTIZERS

FLOAT_TYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A way to quantise a model: GGUF's name and number of it, and the type of the tensors that get no finer one."""

    name: str
    file_type: int
    base: str


def _scheme(name: str, file_type: int, base: str | None = None) -> Scheme:
    return Scheme(name=name, file_type=file_type, base=base or name)


_ALL = (
    _scheme("F32", 0),
    _scheme("F16", 1),
    _scheme("BF16", 32),
    _scheme("Q4_0", 2),
    _scheme("Q4_1", 3),
    _scheme("Q5_0", 8),
    _scheme("Q5_1", 9),
    _scheme("Q8_0", 7),
    _scheme("Q2_K", 10),
    _scheme("Q3_K_S", 11, "Q3_K"),
    _scheme("Q3_K_M", 12, "Q3_K"),
    _scheme("Q3_K_L", 13, "Q3_K"),
    _scheme("Q4_K_S", 14, "Q4_K"),
    _scheme("Q4_K_M", 15, "Q4_K"),
    _scheme("Q5_K_S", 16, "Q5_K"),
    _scheme("Q5_K_M", 17, "Q5_K"),
    _scheme("Q6_K", 18),
)
_BY_NAME = {scheme.name.lower(): scheme for scheme in _ALL}
SCHEMES: dict[str, Scheme] = _BY_NAME | {f"q{bits}_k": _BY_NAME[f"q{bits}_k_m"] for bits in (3, 4, 5)}
"""By the name a user gives, in lower case."""

# What takes over where a row is not whole blocks of 256, and where it is not even whole blocks of 32.
_NARROW = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_NARROWEST = "F16"
_LAYER = re.compile(r"blk\.(\d+)\.")
_VALUES = ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The place of a tensor in a model, as far as mixtures care. `grouping`: heads of a GQA group."""

    layer: int
    layers: int
    grouping: int
    experts: int
    weighed: bool

    @property
    def delicate(self) -> bool:
        """The first and the last eighth of the layers, and every third between."""
        eighth = self.layers // 8
        return self.layer < eighth or self.layer >= 7 * self.layers // 8 or (self.layer - eighth) % 3 == 2

    @property
    def early(self) -> bool:
        return self.layer < self.layers // 8


def choose_types(source: SourceModel, scheme: Scheme, *, pure: bool, weighed: bool) -> dict[str, str]:
    """The type of each tensor of `source`. `pure`: one type for all matrices; `weighed`: an importance is at hand.

    Vectors become F32, whatever the scheme; what steers experts stays as it is.
    """
    return {name: _type_of(tensor, source, scheme, pure, weighed) for name, tensor in source.tensors.items()}


def is_quantized(tensor: SourceTensor) -> bool:
    """Returns whether a scheme applies to the tensor: it is a weight matrix (or a stack of them) that is multiplied
    with."""
    kept = ("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight")
    return len(tensor.shape) > 1 and tensor.name.endswith("weight") and not tensor.name.endswith(kept)


def _type_of(tensor: SourceTensor, source: SourceModel, scheme: Scheme, pure: bool, weighed: bool) -> str:
    if not is_quantized(tensor):
        return "F32" if tensor.type_name in FLOAT_TYPES and len(tensor.shape) == 1 else tensor.type_name
    if pure or scheme.base in FLOAT_TYPES:
        return _fitting(scheme.base, tensor.shape[-1])
    if _is_head(tensor.name, source.tensors):
        if tensor.shape[-1] % QUANTIZERS[scheme.base].block:
            return _fitting("Q8_0", tensor.shape[-1])
        return _fitting("Q8_0" if scheme.base == "Q8_0" else "Q6_K", tensor.shape[-1])
    return _fitting(_in_layer(tensor.name, scheme, _place(tensor, source, weighed)), tensor.shape[-1])


def _fitting(type_name: str, columns: int) -> str:
    """The type, or what takes over where rows of `columns` are not whole blocks of it."""
    for candidate in (type_name, _NARROW.get(type_name, _NARROWEST)):
        if columns % QUANTIZERS[candidate].block == 0:
            return candidate
    return _NARROWEST


def _is_head(name: str, tensors: Mapping[str, SourceTensor]) -> bool:
    """The output head; it is the embedding where they are one tensor."""
    return name == "output.weight" or (name == "token_embd.weight" and "output.weight" not in tensors)


def _place(tensor: SourceTensor, source: SourceModel, weighed: bool) -> _Place:
    found = _LAYER.match(tensor.name)
    layers = source.integer("block_count", 0)
    heads = source.metadata.get(f"{source.architecture}.attention.head_count", 1)
    kv_heads = source.metadata.get(f"{source.architecture}.attention.head_count_kv", heads)
    uniform = isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads > 0
    return _Place(
        layer=int(found[1]) if found else layers,
        layers=layers,
        grouping=heads // kv_heads if uniform else 1,
        experts=source.integer("expert_count", 0),
        weighed=weighed,
    )


def _in_layer(name: str, scheme: Scheme, place: _Place) -> str:
    """After llama.cpp's llama_tensor_get_type, less its exceptions for single models."""
    if place.layer >= place.layers:
        return scheme.base
    finer: str | None = None
    if name.endswith(_VALUES):
        finer = "Q8_0" if place.experts == 8 else _attention_values(scheme.name, place)
    elif name.endswith("attn_k.weight"):
        finer = "Q8_0" if place.experts == 8 else None
    elif "ffn_down" in name:
        finer = _ffn_down(scheme.name, place)
    elif name.endswith("attn_output.weight"):
        finer = _attention_output(scheme.name, place)
    return finer or scheme.base


def _attention_values(scheme: str, place: _Place) -> str | None:
    match scheme:
        case "Q2_K":
            return "Q4_K" if place.grouping >= 4 else "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if place.layer < 2 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_S":
            return "Q5_K" if place.layer < 4 else None
        case "Q4_K_M" | "Q5_K_M":
            return "Q6_K" if place.delicate else None
    return None


def _ffn_down(scheme: str, place: _Place) -> str | None:
    match scheme:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if place.layer < place.layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_S":
            return "Q5_K" if place.early else None
        case "Q4_K_M" | "Q5_K_M":
            return "Q6_K" if place.delicate else None
        case "Q4_0" | "Q5_0":  # with an importance, these can go far astray in the first layers
            return scheme.replace("_0", "_1") if place.weighed and place.early else None
    return None


def _attention_output(scheme: str, place: _Place) -> str | None:
    if place.experts == 8:
        return "Q5_K" if scheme in ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M") else None
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(scheme)


def describe_types(types: Mapping[str, str], source: SourceModel, scheme: Scheme) -> str:
    """Returns the name of a model whose tensors have these types: the type, or the scheme if its matrices have
    several."""
    matrices = {types[name] for name, tensor in source.tensors.items() if is_quantized(tensor)}
    return matrices.pop() if len(matrices) == 1 else f"{scheme.name} mixture"
