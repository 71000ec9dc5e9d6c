"""A bundle's logits at the later positions of a text: prefills the first part, decodes the rest, in this process."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Bundle
from sharkpack.runtime_shim.device.hal import choose_local_device, open_device
from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
from sharkpack.runtime_shim.executor.protocol import SequenceChunk


def main() -> int:
    """`BUNDLE TOKENS.json OUT.npy`: f32 [positions, vocabulary], of position `first` up to the last but one."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "tokens", "out"):
        parser.add_argument(name, type=Path)
    found = parser.parse_args()
    text = json.loads(found.tokens.read_text(encoding="utf-8"))
    with Bundle.open(found.bundle) as bundle:
        np.save(found.out, logits_of(bundle, text["tokens"], text["first"]))
    return 0


def logits_of(bundle: Bundle, tokens: list[int], first: int) -> np.ndarray:
    """Logits after token `first`, after the next, and so on up to the last token but one."""
    selection = bundle.select()
    uri, threads = choose_local_device(selection.device_uri, None, explicit=False)
    signature = generate_signature(bundle.manifest.signature)
    pages = list(range(signature.reserved_pages, signature.reserved_pages + -(-len(tokens) // signature.page_size)))
    program = CompiledExecutor(
        bundle.archive, selection.target, open_device(uri, threads), cache_pages=pages[-1] + 1, prefill_chunk=first + 1
    )
    try:
        rows = [program.call("prefill", [SequenceChunk(tokens[: first + 1], 0, pages)])[0].copy()]
        for position in range(first + 1, len(tokens) - 1):
            rows.append(program.call("decode", [SequenceChunk([tokens[position]], position, pages)])[0].copy())
    finally:
        program.close()
    return np.stack(rows)


if __name__ == "__main__":
    sys.exit(main())
