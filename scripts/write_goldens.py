#!/usr/bin/env python3
"""Write tests/golden from what llama.cpp computed: scripts/write_goldens.py FOLDER

FOLDER holds, of each model, four files made with llama-cpp-python 0.3.36, two threads and a context of 1024 tokens:

    MODEL.exact.json            for each prompt: its token ids, 32 greedy tokens, and the margin between the two best
                                logits before each; from the weights dequantised to float32, with a float32 cache and
                                no flash attention
    MODEL.exact.logits.npz      float32 [vocabulary] for each prompt: the logits after it, computed alike
    MODEL.llamacpp.logits.npz   the same of the quantised file, with llama.cpp's defaults
    tokenizer/MODEL.json        strings and their token ids, without BOS, special tokens parsed

Exact logits are kept in 16 bits, which moves no divergence by more than 5e-6 nats (the script checks it). Of
llama.cpp's own logits only their divergence from the exact ones is kept.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.goldens import FOLDER, Floats, decode_rows, divergence, encode_rows

MOST_MOVED = 5e-6


def main() -> None:
    """Convert every model in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    source = parser.parse_args().folder
    FOLDER.mkdir(exist_ok=True)
    for path in sorted(source.glob("*.exact.json")):
        model = path.name.removesuffix(".exact.json")
        write_prompts(source, model)
        write_tokenizer(source, model)
        print(f"{model}: {sum(file.stat().st_size for file in FOLDER.glob(f'{model}.*')):,} bytes")


def write_prompts(source: Path, model: str) -> None:
    """MODEL.json and MODEL.logits.zst."""
    reference = json.loads((source / f"{model}.exact.json").read_text("utf-8"))
    names = [prompt["name"] for prompt in reference["prompts"]]
    with (
        np.load(source / f"{model}.exact.logits.npz") as exact,
        np.load(source / f"{model}.llamacpp.logits.npz") as own,
    ):
        rows = [exact[name].reshape(-1).astype(np.float64) for name in names]
        peers = [own[name].reshape(-1).astype(np.float64) for name in names]
    data, ranges = encode_rows(rows)
    divergences = [divergence(row, peer) for row, peer in zip(rows, peers, strict=True)]
    for kept, peer, expected in zip(decode_rows(data, ranges), peers, divergences, strict=True):
        moved = abs(divergence(kept, peer) - expected)
        if moved > MOST_MOVED:
            sys.exit(f"{model}: 16 bits a logit move a divergence by {moved:.1e} nats; expected at most {MOST_MOVED}")
    prompts = [
        {
            "name": prompt["name"],
            "text": prompt["prompt"],
            "prompt_ids": prompt["prompt_ids"],
            "generated_ids": prompt["generated_ids"],
            "margins": prompt["top1_minus_top2"],
            "llamacpp_divergence": round(peer_divergence, 7),
            "range": row_range,
        }
        for prompt, peer_divergence, row_range in zip(reference["prompts"], divergences, ranges, strict=True)
    ]
    about = {key: reference[key] for key in ("model", "engine", "mode")}
    (FOLDER / f"{model}.logits.zst").write_bytes(data)
    write_json(FOLDER / f"{model}.json", about, "prompts", prompts)


def _load(path: Path, names: list[str]) -> list[Floats]:
    with np.load(path) as rows:
        return [rows[name].reshape(-1).astype(np.float64) for name in names]


def write_tokenizer(source: Path, model: str) -> None:
    """MODEL.tokenizer.json."""
    found = json.loads((source / "tokenizer" / f"{model}.json").read_text("utf-8"))
    strings = [{"text": each["text"], "ids": each["ids"]} for each in found["strings"]]
    write_json(FOLDER / f"{model}.tokenizer.json", {"engine": found["engine"]}, "strings", strings)


def write_json(path: Path, about: dict[str, Any], key: str, records: list[dict[str, Any]]) -> None:
    """An object whose last value is a list, one record a line."""
    head = [f"{json.dumps(name)}: {json.dumps(value)}," for name, value in about.items()]
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("\n".join(["{", *head, f"{json.dumps(key)}: [", lines, "]", "}", ""]), "utf-8")


if __name__ == "__main__":
    main()
