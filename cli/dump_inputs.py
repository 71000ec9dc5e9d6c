"""`sharkpack dump-inputs`: what each call of a bundle's program takes and gives, for iree-run-module."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.cli.support.arguments import natural_number, positive_integer
from sharkpack.cli.support.console import write_json, write_table, write_text
from sharkpack.cli.support.text_file import read_prompt

if TYPE_CHECKING:
    from sharkpack.runtime_shim.tools.dump import DumpedStep

SUMMARY = "write what each call of a program takes and gives"
DESCRIPTION = (
    "Prefill a prompt, decode a few tokens, and write every input and output of each call to a folder as .npy files, "
    "with the module, the weights and commands.sh, which makes the same calls with iree-run-module and compares."
)
EXAMPLES = """\
examples:
  sharkpack dump-inputs model.shark --prompt "The capital of France is" --raw -o calls
  sharkpack dump-inputs model.shark --prompt "Hello" --steps 5 -o calls
  sh calls/commands.sh    make the calls again, and compare
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", metavar="FILE", type=Path, help="a .shark file")
    parser.add_argument("--prompt", metavar="TEXT", required=True, help="the prompt; - reads it from standard input")
    parser.add_argument("--raw", action="store_true", help="take the prompt as it is: no chat template")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="a folder, new or empty")
    parser.add_argument(
        "--steps", metavar="N", type=natural_number, default=2, help="tokens to decode after the prefill (default: 2)"
    )
    parser.add_argument("--device", metavar="URI", default="auto", help="see 'sharkpack devices' (default: auto)")
    parser.add_argument("--target", metavar="NAME", help="a target of the bundle (default: the best that runs here)")
    parser.add_argument("--threads", metavar="N", type=positive_integer, help="CPU threads (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Dump, then print what was written."""
    steps = _dump(arguments)
    if arguments.json:
        rows = [{"function": each.function, "token_id": each.token_id, "inputs": list(each.inputs)} for each in steps]
        write_json({"path": str(arguments.output), "steps": rows})
        return 0
    rows_of_text = [(str(index), each.function, str(each.token_id)) for index, each in enumerate(steps)]
    write_table(("step", "function", "argmax"), rows_of_text, numeric=("step", "argmax"))
    write_text(f"\nsh {arguments.output / 'commands.sh'} makes the same calls with iree-run-module, and compares\n")
    return 0


def _dump(arguments: argparse.Namespace) -> "list[DumpedStep]":
    from sharkpack.formats.io.output_folder import output_folder
    from sharkpack.runtime_shim import Bundle
    from sharkpack.runtime_shim.device.hal import choose_device, open_device
    from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
    from sharkpack.runtime_shim.text.prompt import encode_prompt
    from sharkpack.runtime_shim.tools.dump import dump_steps, write_commands, write_program

    prompt = read_prompt(arguments.prompt)
    with Bundle.open(arguments.bundle) as bundle, output_folder(arguments.output) as folder:
        ids = encode_prompt(bundle, prompt, raw=arguments.raw)
        selection = bundle.select(device=arguments.device, target=arguments.target)
        uri, threads = choose_device(selection, arguments.threads, explicit=arguments.device != "auto")
        device = open_device(uri, threads)
        program = CompiledExecutor(bundle.archive, selection.target, device, cache_pages=1, prefill_chunk=1)
        try:
            steps = dump_steps(program, ids, arguments.steps, folder)
        finally:
            program.close()
        parameters = write_program(bundle.archive, selection.target, folder)
        write_commands(steps, parameters, selection.target, folder)
        return steps
