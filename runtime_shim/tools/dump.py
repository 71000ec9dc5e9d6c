"""Writes what each call of a program takes and gives, as files that iree-run-module reads.

Knows one sequence: its prompt is prefilled, and then its argmax decoded each time.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sharkpack.formats.archive.generate_signature import GenerateSignature
from sharkpack.formats.archive.manifest import EntryPoint, TargetInfo
from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.iree_tools import run_command, script
from sharkpack.formats.padded_batch import PaddedBatch
from sharkpack.runtime_shim.errors import RequestError
from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
from sharkpack.runtime_shim.executor.protocol import SequenceChunk

MODULE = "module.vmfb"
COMMANDS = "commands.sh"
STEPS = "steps.json"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpedStep:
    """One call: its files in the order of its arguments and results, and the argmax of its logits."""

    function: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    token_id: int


def dump_steps(program: CompiledExecutor, prompt_ids: Sequence[int], steps: int, folder: Path) -> list[DumpedStep]:
    """Prefill the prompt, decode `steps` tokens, and write every input and output of each call to `folder` as .npy.

    A call's rows are those of the smallest batch size; the prompt is the first, the others are padding. The cache has
    the pages that are needed and no more. Raises SharkpackError for a prompt that does not fit the context.
    """
    signature = program.signature
    if len(prompt_ids) + steps > signature.context_length:
        raise RequestError(
            f"{len(prompt_ids)} tokens and {steps} steps are more than the context of {signature.context_length}; "
            "give a shorter prompt or fewer --steps"
        )
    batch, pages = min(signature.batch_sizes), -(-(len(prompt_ids) + steps) // signature.page_size)
    cache = _empty_cache(signature, signature.reserved_pages + pages)
    np.save(folder / _cache_file(0), cache)
    dumped: list[DumpedStep] = []
    page_ids = list(range(signature.reserved_pages, signature.reserved_pages + pages))
    tokens, start = list(prompt_ids), 0
    for index in range(steps + 1):
        rows = [SequenceChunk(tokens, start, page_ids)]
        arrays = PaddedBatch.of(rows, batch).by_role() | {"memory": cache}
        entry = signature.decode[batch] if index else signature.prefill[batch]
        step, cache = _dump_call(program, entry, index, arrays, folder)
        dumped.append(step)
        start += len(tokens)
        tokens = [step.token_id]
    return dumped


def _dump_call(
    program: CompiledExecutor, entry: EntryPoint, index: int, arrays: Arrays, folder: Path
) -> tuple[DumpedStep, npt.NDArray[Any]]:
    """One call and all of its files but the cache before it; returns the cache after it too."""
    prefix = f"step-{index}-{'decode' if index else 'prefill'}"
    roles = [argument.role for argument in entry.inputs]
    inputs = {role: _cache_file(index) if role == "memory" else f"{prefix}/{role}.npy" for role in roles}
    (folder / prefix).mkdir()
    for role in roles:
        if role != "memory":
            np.save(folder / inputs[role], arrays[role])
    results = [argument.role for argument in entry.outputs]
    found = dict(zip(results, program.run(entry.function, [arrays[role] for role in roles]), strict=True))
    outputs = {role: _cache_file(index + 1) if role == "memory" else f"{prefix}/{role}.npy" for role in results}
    for role, file in outputs.items():
        np.save(folder / file, found[role])
    return DumpedStep(
        function=entry.function,
        inputs=tuple(inputs.values()),
        outputs=tuple(outputs.values()),
        token_id=int(found["logits"][0].argmax()),
    ), found["memory"]


def write_program(archive: Archive, target: TargetInfo, folder: Path) -> dict[str, str]:
    """Copy a target's module and the bundle's parameter files out to `folder`; returns the latter's names by scope."""
    (folder / MODULE).write_bytes(archive.view(target.path))
    files = {each.scope: f"{each.scope}.irpa" for each in archive.manifest.parameters}
    for each in archive.manifest.parameters:
        (folder / files[each.scope]).write_bytes(archive.view(each.path))
    return files


def write_commands(steps: Sequence[DumpedStep], parameters: dict[str, str], target: TargetInfo, folder: Path) -> None:
    """Write the script that runs each call with iree-run-module and compares its results, and the steps as JSON."""

    def commands() -> Iterator[tuple[str, list[str]]]:
        for index, step in enumerate(steps):
            yield (
                f"Step {index}, after which the argmax is {step.token_id}.",
                run_command(MODULE, parameters, target.driver, step.function, step.inputs, expected=step.outputs),
            )

    (folder / COMMANDS).write_text(script(commands()), encoding="utf-8")
    (folder / COMMANDS).chmod(0o755)
    (folder / STEPS).write_text(json.dumps([asdict(step) for step in steps], indent=2) + "\n", encoding="utf-8")


def _cache_file(index: int) -> str:
    """The cache before call `index`, and so after the one before it."""
    return f"cache-{index}.npy"


def _empty_cache(signature: GenerateSignature, pages: int) -> npt.NDArray[Any]:
    dtype = {"f16": np.float16, "f32": np.float32, "i8": np.int8}[signature.cache.dtype]
    return np.zeros((pages, signature.cache.page_elements), dtype)
