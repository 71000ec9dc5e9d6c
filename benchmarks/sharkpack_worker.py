"""One task of one bundle in this process, warmed up before it is measured; prints a JSON list of tokens/s."""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import iree.runtime as rt

from sharkpack.formats.archive.manifest import TargetInfo
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim import Engine
from sharkpack.runtime_shim.executor import compiled as program
from sharkpack.runtime_shim.executor.loading import load_modules

WARM_UP_TOKENS = 8


class EndlessEngine(Engine):
    """An engine that generates past end tokens, as llama-bench does, so that every run has the same length."""

    def _end_token_ids(self) -> frozenset[int]:
        return frozenset()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("kind", choices=("prefill", "decode", "batch"))
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--prompt", type=int, required=True)
    parser.add_argument("--generated", type=int, default=0)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--code", type=Path, metavar="BUNDLE", help="run that bundle's code over this one's weights")
    found = parser.parse_args()
    if found.code:
        take_code_of(found.code)
    with EndlessEngine.open(found.bundle, threads=found.threads, context=found.context) as engine:
        prompts = random_prompts(engine, found.sequences, found.prompt)
        if found.kind == "prefill":
            speeds = [prefill(engine, prompts[0]) for _ in range(found.repeats + 1)][1:]
        else:
            decode(engine, [prompt[-32:] for prompt in prompts], WARM_UP_TOKENS)
            speeds = [decode(engine, prompts, found.generated) for _ in range(found.repeats)]
    json.dump(speeds, sys.stdout)
    return 0


def take_code_of(path: Path) -> None:
    """Have every bundle that is opened from now on run the code of that one; both have the same weights and target."""

    def load(
        archive: Archive, target: TargetInfo, instance: rt.VmInstance, device: Any
    ) -> tuple[list[rt.VmModule], Any]:
        modules, memory = load_modules(archive, target, instance, device)
        return [*modules[:-1], rt.VmModule.copy_buffer(instance, Archive.open(path).view(target.path))], memory

    vars(program)["load_modules"] = load


def random_prompts(engine: Engine, count: int, length: int) -> list[list[int]]:
    """Random token ids, as llama-bench takes them: what they are makes no difference to the time."""
    vocabulary = engine.bundle.manifest.signature.vocab_size
    source = random.Random(length)
    return [[source.randrange(vocabulary) for _ in range(length)] for _ in range(count)]


def prefill(engine: Engine, prompt: list[int]) -> float:
    """Prompt tokens a second, from the request to its first token."""
    result = engine.generate(prompt, max_tokens=1).result()
    return len(prompt) / (result.timings_ms["first_token"] / 1e3)


def decode(engine: Engine, prompts: list[list[int]], generated: int) -> float:
    """Tokens a second of all sequences together, from the first token to the last: sampling and text included."""
    results = engine.batch(list(prompts), max_tokens=generated + 1)
    seconds = max(result.timings_ms["decode"] for result in results) / 1e3
    return sum(len(result.token_ids) - 1 for result in results) / seconds


if __name__ == "__main__":
    sys.exit(main())
