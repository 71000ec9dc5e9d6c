"""`sharkpack run`: text from a bundle, as it comes."""

import argparse
import gc
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.cli.support.arguments import finite_number, positive_integer, seed
from sharkpack.cli.support.console import format_seconds, write_json, write_note, write_text
from sharkpack.cli.support.text_file import read_prompt
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.text import decode_text

if TYPE_CHECKING:
    from sharkpack.runtime_shim import Completion, Engine, Sampling, Stream
    from sharkpack.runtime_shim.text.prompt import Prompt

SUMMARY = "generate text from a .shark file"
DESCRIPTION = (
    "Generate text from a bundle. The prompt is put through the bundle's chat template if it has one. "
    "Only the text goes to standard output."
)
EXAMPLES = """\
examples:
  sharkpack run model.shark "Why is the sky blue?"
  sharkpack run model.shark --raw "The capital of France is" --max-tokens 8
  sharkpack run model.shark --temperature 0.7 --top-p 0.9 --seed 1 "Write a haiku."
  cat question.txt | sharkpack run model.shark - --stats
  sharkpack run model.shark "Hello" --json
  sharkpack run model.gguf "Hello" --reference
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", metavar="FILE", type=Path, help="a .shark file; with --reference, a source model")
    parser.add_argument("prompt", metavar="PROMPT", help="the prompt; - reads it from standard input")
    parser.add_argument("--raw", action="store_true", help="complete the prompt as it is: no chat template")
    parser.add_argument("--chat-template", metavar="NAME", help="of the bundle's chat templates (default: default)")
    parser.add_argument(
        "--special",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let control tokens that the prompt spells be such tokens, or text (default: text, but tokens with --raw)",
    )
    parser.add_argument("--system", metavar="TEXT", help="a system message before the prompt")
    parser.add_argument(
        "--max-tokens", metavar="N", type=positive_integer, default=256, help="stop after N tokens (default: 256)"
    )
    parser.add_argument(
        "--stop", metavar="STR", action="append", default=[], help="stop before this text; repeat for several"
    )
    _add_sampling_arguments(parser.add_argument_group("sampling"))
    _add_machine_arguments(parser.add_argument_group("machine"))
    parser.add_argument("--stats", action="store_true", help="print times and speeds to standard error")
    parser.add_argument("--json", action="store_true", help="print one JSON object, when all is done, instead of text")


def _add_sampling_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--temperature",
        metavar="T",
        type=finite_number,
        default=0.0,
        help="0 takes the most likely token; higher is more varied (default: 0)",
    )
    group.add_argument("--top-k", metavar="K", type=int, default=0, help="keep the K most likely tokens (default: all)")
    group.add_argument(
        "--top-p",
        metavar="P",
        type=finite_number,
        default=1.0,
        help="keep the most likely tokens that hold probability P (default: 1)",
    )
    group.add_argument(
        "--min-p",
        metavar="P",
        type=finite_number,
        default=0.0,
        help="keep tokens at least P times as likely as the most likely (default: 0)",
    )
    group.add_argument(
        "--repeat-penalty",
        metavar="R",
        type=finite_number,
        default=1.0,
        help="make recent tokens less likely (default: 1, not)",
    )
    group.add_argument("--seed", metavar="S", type=seed, help="the same seed gives the same text")


def _add_machine_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--device", metavar="URI", default="auto", help="see 'sharkpack devices' (default: auto)")
    group.add_argument("--target", metavar="NAME", help="a target of the bundle (default: the best that runs here)")
    group.add_argument("--threads", metavar="N", type=positive_integer, help="CPU threads (default: one a core)")
    group.add_argument(
        "--context", metavar="TOKENS", type=positive_integer, help="room for prompt and text (default: the bundle's)"
    )
    group.add_argument(
        "--reference",
        action="store_true",
        help="run a model that 'sharkpack build' takes, in torch and float32, with nothing compiled: exact, and slow",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Generate and print."""
    # Starting up makes objects by the ten thousand and generating makes no cycles: searching for garbage is in vain.
    gc.disable()
    try:
        return _generate(arguments)
    finally:
        gc.enable()


def _generate(arguments: argparse.Namespace) -> int:
    sampling = read_sampling(arguments)
    with _open_engine(arguments) as engine:
        has_template = arguments.chat_template is not None or "default" in engine.bundle.chat_templates
        prompt = compose_prompt(arguments, has_template=has_template)
        stream = engine.generate(
            prompt,
            max_tokens=arguments.max_tokens,
            sampling=sampling,
            stop=arguments.stop,
            raw=arguments.raw,
            special=arguments.special,
            chat_template=arguments.chat_template,
        )
        completed = follow(stream, silent=arguments.json)
        if arguments.json:
            _print_json(stream.result())
        if arguments.stats:
            _print_stats(engine, stream.result())
    return 0 if completed else 130


def _open_engine(arguments: argparse.Namespace) -> AbstractContextManager["Engine"]:
    if not arguments.reference:
        from sharkpack.runtime_shim import Engine

        machine = {name: getattr(arguments, name) for name in ("device", "target", "threads", "context")}
        return Engine.open(arguments.bundle, **machine)
    from sharkpack.cli.support.environment import require_compiler

    if arguments.target is not None or arguments.device != "auto":
        raise SharkpackError("--reference compiles nothing, so that it has no --target and no --device: leave them out")
    require_compiler()
    from sharkpack.cli.support.reference import reference_engine

    return reference_engine(str(arguments.bundle), context=arguments.context, threads=arguments.threads)


def read_sampling(arguments: argparse.Namespace) -> "Sampling":
    """Returns the options of sampling that the command line gives; raises SharkpackError for values without a
    meaning."""
    from sharkpack.runtime_shim import Sampling

    return Sampling(
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        min_p=arguments.min_p,
        repeat_penalty=arguments.repeat_penalty,
        seed=arguments.seed,
    )


def compose_prompt(arguments: argparse.Namespace, *, has_template: bool) -> "Prompt":
    """The prompt as text, or as messages when there is a system message."""
    prompt = read_prompt(arguments.prompt)
    if arguments.system is None:
        return prompt
    if arguments.raw or not has_template:
        why = "--raw leaves it out" if arguments.raw else f"{arguments.bundle} has none"
        raise SharkpackError(f"--system needs the chat template, and {why}: put the text into the prompt")
    if not prompt:
        raise SharkpackError("the prompt is empty: give at least one character")
    system = decode_text(arguments.system.encode("utf-8", errors="surrogateescape"), "the system message")
    return [{"role": "system", "content": system}, {"role": "user", "content": prompt}]


def follow(stream: "Stream", *, silent: bool) -> bool:
    """Run to the end, printing the text as it comes unless `silent`; False when Ctrl-C cut it short."""
    write = _discard if silent else write_text
    completed = True
    try:
        for piece in stream:
            write(piece)
    except KeyboardInterrupt:
        completed = False
        stream.cancel()
        for piece in stream:  # what had been generated, and not yet printed
            write(piece)
    write("\n")
    return completed


def _discard(text: str) -> None:
    pass


def _print_json(completion: "Completion") -> None:
    write_json(
        {
            "text": completion.text,
            "prompt_ids": list(completion.prompt_ids),
            "token_ids": list(completion.token_ids),
            "finish_reason": completion.finish_reason,
            "target": completion.target,
            "timings_ms": {name: round(value, 3) for name, value in completion.timings_ms.items()},
            "tokens_per_second": {name: round(value, 3) for name, value in completion.tokens_per_second.items()},
        }
    )


def _print_stats(engine: "Engine", completion: "Completion") -> None:
    times = {name: format_seconds(value / 1000) for name, value in completion.timings_ms.items()}
    write_note(f"target       {completion.target} on {engine.info.device}, threads: {engine.info.threads}")
    write_note(f"load         {times['load']}")
    write_note(f"first token  {times['first_token']}")
    for phase, tokens in (("prefill", completion.prompt_ids), ("decode", completion.token_ids)):
        speed = completion.tokens_per_second[phase]
        write_note(f"{phase:12} {len(tokens)} tokens in {times[phase]}, {speed:.1f} tokens/s")
    write_note(f"finished     {completion.finish_reason}")
