"""`sharkpack devices`: what this machine can run on, and why not the rest."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

SUMMARY = "list what this machine can run on"
DESCRIPTION = "List every device that sharkpack knows, and why those that are not usable are not."
EXAMPLES = """\
examples:
  sharkpack devices
  sharkpack devices model.shark    which of the bundle's targets would run here, and why
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", metavar="FILE", type=Path, nargs="?", help="a .shark file, to judge its targets")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Print the devices, then the bundle's targets if one was given."""
    from sharkpack.cli.support.console import write_json

    report = _describe_machine()
    if arguments.bundle is not None:
        report["targets"] = _judge_targets(arguments.bundle)
    if arguments.json:
        write_json(report)
    else:
        _print_report(report)
    return 0


def _describe_machine() -> dict[str, Any]:
    from sharkpack.runtime_shim import Machine, devices

    machine = Machine()
    return {
        "runtime": machine.runtime_version,
        "cpu": {
            "architecture": machine.cpu.architecture,
            "physical_cores": machine.cpu.physical_cores,
            "features": sorted(machine.cpu.features),
        },
        "devices": [asdict(device) for device in devices(machine)],
    }


def _judge_targets(path: Path) -> list[dict[str, Any]]:
    """One row a target: the chosen one first, then the others with the reason against them."""
    from sharkpack.runtime_shim import Bundle

    with Bundle.open(path) as bundle:
        selection = bundle.select()
    chosen = {"id": selection.target.id, "device": selection.device_uri, "rejected": None}
    others = ({"id": each.target_id, "device": None, "rejected": each.reason} for each in selection.rejected)
    return [chosen, *others]


def _print_report(report: dict[str, Any]) -> None:
    from sharkpack.cli.support.console import write_table, write_text

    rows = [
        (device["name"], "no" if device["missing"] else "yes", device["description"], device["missing"] or "")
        for device in report["devices"]
    ]
    write_table(("device", "usable", "what it is", "why not"), rows)
    if "targets" in report:
        write_text("\n")
        targets = [(row["id"], row["device"] or "no", row["rejected"] or "") for row in report["targets"]]
        write_table(("target", "runs on", "why not"), targets)
    write_text(f"\n{len(report['cpu']['features'])} CPU features known (--json lists them)\n")
