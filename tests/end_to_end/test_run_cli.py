"""`sharkpack run` on a real model, in a process of its own: what goes to stdout, to stderr and into the exit status."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.command_line import SHARKPACK, sharkpack

QUESTION = "What is 2+2?"
RAW = ("The capital of France is", "--raw")


@pytest.fixture(scope="module")
def bundle(real_bundle: Callable[..., Path]) -> Path:
    return real_bundle("smollm2-135m")


def test_the_text_and_nothing_else(bundle: Path) -> None:
    outcome = sharkpack("run", bundle, *RAW, "--max-tokens", "5")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(" Paris.")
    assert outcome.out.endswith("\n")


def test_the_chat_template_is_used_unless_raw(bundle: Path) -> None:
    answer = json.loads(sharkpack("run", bundle, QUESTION, "--json").out)
    assert "4" in answer["text"]
    assert answer["finish_reason"] == "stop"
    assert "<|im_end|>" not in answer["text"]
    raw = json.loads(sharkpack("run", bundle, QUESTION, "--raw", "--max-tokens", "2", "--json").out)
    assert len(raw["prompt_ids"]) < len(answer["prompt_ids"])


def test_the_prompt_may_come_from_standard_input(bundle: Path) -> None:
    typed = sharkpack("run", bundle, "-", "--raw", "--max-tokens", "5", stdin=RAW[0].encode() + b"\n")
    assert typed == sharkpack("run", bundle, *RAW, "--max-tokens", "5")


def test_json_has_the_keys_that_are_documented(bundle: Path) -> None:
    outcome = sharkpack("run", bundle, *RAW, "--max-tokens", "5", "--json")
    report = json.loads(outcome.out)
    assert outcome.err == ""
    assert set(report) == {
        "text", "prompt_ids", "token_ids", "finish_reason", "target", "timings_ms", "tokens_per_second",
    }  # fmt: skip
    assert set(report["timings_ms"]) == {"load", "prefill", "first_token", "decode"}
    assert set(report["tokens_per_second"]) == {"prefill", "decode"}
    assert all(value > 0 for part in ("timings_ms", "tokens_per_second") for value in report[part].values())
    assert (len(report["prompt_ids"]), len(report["token_ids"]), report["finish_reason"]) == (5, 5, "length")


def test_stats_go_to_stderr(bundle: Path, measured: Callable[[str], None]) -> None:
    outcome = sharkpack("run", bundle, *RAW, "--max-tokens", "5", "--stats")
    assert outcome.out == sharkpack("run", bundle, *RAW, "--max-tokens", "5").out
    words = outcome.err.split()
    assert all(word in words for word in ("load", "first", "prefill", "decode", "tokens/s"))


def test_a_stop_string_ends_the_text_before_it(bundle: Path) -> None:
    report = json.loads(sharkpack("run", bundle, *RAW, "--max-tokens", "20", "--stop", ".", "--json").out)
    assert (report["text"], report["finish_reason"]) == (" Paris", "stop_string")


def test_a_seed_makes_chance_repeatable(bundle: Path) -> None:
    def sample(seed: int) -> str:
        options = (
            "--temperature",
            "1.5",
            "--top-k",
            "50",
            "--top-p",
            "0.95",
            "--min-p",
            "0.01",
            "--repeat-penalty",
            "1.1",
        )
        return sharkpack("run", bundle, *RAW, "--max-tokens", "16", *options, "--seed", str(seed)).out

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_ctrl_c_keeps_the_text_so_far(bundle: Path) -> None:
    command = [*SHARKPACK, "run", str(bundle), "Once upon a time", "--raw", "--max-tokens", "2000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        begun = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
    assert (process.returncode, err) == (130, b"")
    text = (begun + rest).decode("utf-8")
    assert text.endswith("\n")
    whole = sharkpack("run", bundle, "Once upon a time", "--raw", "--max-tokens", "40").out
    assert text[:60].startswith(whole[:20])


def test_characters_come_whole(bundle: Path) -> None:
    """Some of these take several tokens; each read of the pipe must end between two characters."""
    prompt = "Repeat after me: 日本語 héllo 🦈🦈🦈 日本語 héllo 🦈🦈🦈 日本語 héllo 🦈"
    command = [*SHARKPACK, "run", str(bundle), prompt, "--raw", "--max-tokens", "40"]
    pieces = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 16):
            pieces.append(piece)
    text = "".join(piece.decode("utf-8") for piece in pieces)
    assert process.returncode == 0
    assert any(len(character.encode()) > 2 for character in text), text
    assert len(pieces) > 5
