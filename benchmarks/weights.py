"""Bytes of weights and multiply-adds that one token needs: the basis of the fractions reported."""

from dataclasses import dataclass
from pathlib import Path

EMBEDDING = "token_embd.weight"
HEAD = "output.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """bytes_per_token: what one decoded token reads: all parameters, less the embedding table where the head is apart.

    layer_macs: multiply-adds a prompt token needs in matmuls, attention left out. head_macs: those of the output head,
    which only the last token of a prompt needs.
    """

    bytes_per_token: int
    layer_macs: int
    head_macs: int

    def prefill_macs(self, tokens: int) -> int:
        """Multiply-adds of a whole prompt."""
        return tokens * self.layer_macs + self.head_macs


def bundle_bytes_per_token(bundle: Path) -> int:
    """Bytes of a bundle's parameters that one token reads."""
    from sharkpack.formats.archive.reader import Archive

    with Archive.open(bundle) as archive:
        sizes = {
            name: nbytes
            for parameters in archive.manifest.parameters
            for name, (_, nbytes) in archive.parameter_index(parameters.path).items()
        }
    return bytes_per_token(sizes)


def bytes_per_token(sizes: dict[str, int]) -> int:
    """The sum of the parameters' sizes, less the embedding table where the head is apart."""
    return sum(sizes.values()) - (sizes[EMBEDDING] if HEAD in sizes else 0)


def count_macs(shapes: dict[str, tuple[int, ...]]) -> tuple[int, int]:
    """(multiply-adds of a token in the layers, in the head), from the shapes of a GGUF file's tensors."""
    matrices = {name: shape[0] * shape[1] for name, shape in shapes.items() if len(shape) == 2}
    head = matrices.get(HEAD, matrices[EMBEDDING])
    return sum(size for name, size in matrices.items() if name not in (HEAD, EMBEDDING)), head


def trained_context(model: Path) -> int:
    """Tokens of context that a GGUF file's model was trained on."""
    from sharkpack.bundler.sources import open_source

    with open_source(str(model)) as source:
        return source.integer("context_length")


def weights_of(model: Path, bundle: Path) -> Weights:
    """Counted from the GGUF file (multiply-adds) and from the bundle built of it (bytes)."""
    from sharkpack.formats.model_files.gguf import GGUFFile

    with GGUFFile.open(model) as file:
        layer_macs, head_macs = count_macs({tensor.name: tensor.shape for tensor in file.tensors.values()})
    return Weights(bytes_per_token=bundle_bytes_per_token(bundle), layer_macs=layer_macs, head_macs=head_macs)
