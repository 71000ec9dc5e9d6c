"""`sharkpack run` on a toy bundle: what reaches stdout, stderr and the exit status."""

import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sharkpack.runtime_shim import Engine
from tests.cli.conftest import Sharkpack
from tests.runtime_shim.toy_bundle import ToyBundle, toy_target
from tests.runtime_shim.toy_language import CONTEXT, TURN, continuation

ABC = list(b"abc")


def test_text_and_nothing_else(sharkpack: Sharkpack, bundle: Path) -> None:
    outcome = sharkpack("run", bundle, "abc", "--max-tokens", "20")
    expected = json.loads(sharkpack("run", bundle, "abc", "--max-tokens", "20", "--json").out)["text"]
    assert outcome.status == 0
    assert outcome.out == expected + "\n"
    assert outcome.err == ""


def test_garbage_is_collected_again_afterwards(sharkpack: Sharkpack, bundle: Path) -> None:
    assert sharkpack("run", bundle, "Hello", "--max-tokens", "2").status == 0
    assert gc.isenabled()
    assert sharkpack("run", bundle, "").status == 2
    assert gc.isenabled()


def test_generating_makes_no_cycles(bundle: Path) -> None:
    """So that a run, which does not collect garbage, takes no more memory the longer it goes on."""
    with Engine.open(bundle, threads=1) as engine:
        list(engine.generate("Hello", max_tokens=2))
        gc.collect()
        generated = engine.generate("Hello", max_tokens=80).result().token_ids
        assert gc.collect() < len(generated)


def test_json(sharkpack: Sharkpack, bundle: Path) -> None:
    outcome = sharkpack("run", bundle, "abc", "--max-tokens", "20", "--json")
    report = json.loads(outcome.out)
    assert list(report) == [
        "text", "prompt_ids", "token_ids", "finish_reason", "target", "timings_ms", "tokens_per_second",
    ]  # fmt: skip
    assert report["prompt_ids"] == ABC
    assert report["token_ids"] == continuation(ABC, 20)
    assert report["finish_reason"] == "length"
    assert report["target"] == "generic"
    assert list(report["timings_ms"]) == ["load", "prefill", "first_token", "decode"]
    assert list(report["tokens_per_second"]) == ["prefill", "decode"]
    assert outcome.err == ""


def test_stats_go_to_stderr(sharkpack: Sharkpack, bundle: Path) -> None:
    plain = sharkpack("run", bundle, "abc", "--max-tokens", "5")
    outcome = sharkpack("run", bundle, "abc", "--max-tokens", "5", "--stats")
    assert outcome.out == plain.out
    assert [line.split()[0] for line in outcome.err.splitlines()] == [
        "target", "load", "first", "prefill", "decode", "finished",
    ]  # fmt: skip


@pytest.mark.parametrize(("typed", "ids"), [(b"abc\n", ABC), (b"abc\n\n", [*ABC, 10]), ("é".encode(), [0xC3, 0xA9])])
def test_prompt_from_standard_input(
    sharkpack: Sharkpack, bundle: Path, monkeypatch: pytest.MonkeyPatch, typed: bytes, ids: list[int]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    assert json.loads(sharkpack("run", bundle, "-", "--json").out)["prompt_ids"] == ids


def test_standard_input_that_is_not_text(sharkpack: Sharkpack, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab\xff")))
    assert (
        sharkpack("run", bundle, "-").error
        == "standard input is not UTF-8 text: byte 2 is 0xff; convert it to UTF-8 first"
    )


def test_chat_template(sharkpack: Sharkpack, chat_bundle: Path) -> None:
    def ids(*options: str) -> list[int]:
        ids: list[int] = json.loads(sharkpack("run", chat_bundle, "abc", "--json", *options).out)["prompt_ids"]
        return ids

    assert ids() == [TURN, *ABC]
    assert ids("--raw") == ABC
    assert ids("--system", "be") == [TURN, *b"be", TURN, *ABC]


def test_system_message_needs_a_template(sharkpack: Sharkpack, bundle: Path, chat_bundle: Path) -> None:
    assert "--system needs the chat template" in sharkpack("run", bundle, "abc", "--system", "be").error
    assert "--raw leaves it out" in sharkpack("run", chat_bundle, "abc", "--system", "be", "--raw").error


def test_sampling_reaches_the_engine(sharkpack: Sharkpack, bundle: Path) -> None:
    def sample(*options: str) -> list[int]:
        sampled = ("--temperature", "30", "--max-tokens", "12", "--json", *options)
        ids: list[int] = json.loads(sharkpack("run", bundle, "abc", *sampled).out)["token_ids"]
        return ids

    assert sample("--seed", "1") == sample("--seed", "1")
    assert sample("--seed", "1") != sample("--seed", "2")
    assert sample("--seed", "1", "--top-k", "1") == continuation(ABC, 12)


def test_stop_strings(sharkpack: Sharkpack, bundle: Path) -> None:
    text = json.loads(sharkpack("run", bundle, "abc", "--max-tokens", "20", "--json").out)["text"]
    stop = text[4:6]
    report = json.loads(sharkpack("run", bundle, "abc", "--max-tokens", "20", "--stop", stop, "--json").out)
    assert report["finish_reason"] == "stop_string"
    assert report["text"] == text[: text.index(stop)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((" " * (CONTEXT + 1),), f"the prompt is {CONTEXT + 1} tokens and the context {CONTEXT}"),
        (("",), "the prompt is empty"),
        (("abc", "--device", "tpu"), "unknown device 'tpu'"),
        (("abc", "--target", "x86-64-v9"), "no target 'x86-64-v9' in this bundle, which has generic"),
        (("abc", "--context", str(CONTEXT + 1)), f"context is {CONTEXT + 1}"),
        (("abc", "--top-p", "2"), "top-p is 2.0"),
        (("abc", "--temperature", "nan"), "argument --temperature: 'nan' is not a finite number"),
        (("abc", "--temperature", "hot"), "argument --temperature: 'hot' is not a number"),
        (("abc", "--max-tokens", "0"), "argument --max-tokens: '0' is not above zero"),
        (("abc", "--seed", "-1"), "argument --seed: '-1' is not between 0 and 2**64 - 1"),
        (("abc", "--threads", "two"), "argument --threads: 'two' is not a whole number"),
    ],
)
def test_bad_input(sharkpack: Sharkpack, bundle: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in sharkpack("run", bundle, *arguments).error


def test_context_narrows(sharkpack: Sharkpack, bundle: Path) -> None:
    report = json.loads(sharkpack("run", bundle, "abc", "--context", "10", "--json").out)
    assert len(report["token_ids"]) <= 10 - len(ABC) + 1


def test_missing_and_broken_bundles(sharkpack: Sharkpack, bundle: Path, tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.shark", tmp_path / "text.shark"
    cut.write_bytes(bundle.read_bytes()[:-100])
    text.write_text("hello")
    assert "none.shark" in sharkpack("run", tmp_path / "none.shark", "abc").error
    assert str(cut) in sharkpack("run", cut, "abc").error
    assert str(text) in sharkpack("run", text, "abc").error


def test_features_that_this_cpu_lacks(sharkpack: Sharkpack, toy_code: bytes, tmp_path: Path) -> None:
    target = toy_target("future", features=("warp-drive",))
    path = ToyBundle(code=toy_code, targets=(target,)).write(tmp_path / "future.shark")
    assert "warp-drive" in sharkpack("run", path, "abc").error


def test_interrupted_generation_keeps_its_text(
    sharkpack: Sharkpack, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sharkpack("run", bundle, "abc", "--max-tokens", "40").out
    steps = iter(range(1000))
    step = Engine.step

    def interrupted_step(engine: Engine) -> bool:
        if next(steps) == 10:
            raise KeyboardInterrupt
        return step(engine)

    monkeypatch.setattr(Engine, "step", interrupted_step)
    outcome = sharkpack("run", bundle, "abc", "--max-tokens", "40")
    assert outcome.status == 130
    assert outcome.out.endswith("\n")
    assert len(outcome.out) > 1
    # The last character may have been waiting for more of its bytes.
    assert whole.startswith(outcome.out[:-2])
    assert outcome.err == ""


def test_interrupted_json_is_whole(sharkpack: Sharkpack, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_step(engine: Engine) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "step", interrupted_step)
    outcome = sharkpack("run", bundle, "abc", "--json")
    assert outcome.status == 130
    assert json.loads(outcome.out)["finish_reason"] == "cancelled"


def test_interrupt_while_the_prompt_is_awaited(bundle: Path) -> None:
    command = [sys.executable, "-m", "sharkpack.cli.main", "run", str(bundle), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _wait_for_mapping(process.pid, bundle)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


def test_reader_that_goes_away(bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sharkpack.cli.main", "run", str(bundle), "abc"]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_on_stdout(bundle: Path) -> None:
    command = [sys.executable, "-m", "sharkpack.cli.main", "run", str(bundle), "abc"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (2, b"error: cannot write to standard output: No space left on device\n")


def test_text_is_utf8_whatever_the_locale(bundle: Path) -> None:
    command = [sys.executable, "-m", "sharkpack.cli.main", "run", str(bundle), "abc", "--max-tokens", "30"]
    outputs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONIOENCODING": encoding}, stdout=subprocess.PIPE, check=True
        ).stdout
        for encoding in ("utf-8", "ascii")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].decode("utf-8")


def _wait_for_mapping(pid: int, path: Path) -> None:
    """Wait until the process has the file mapped: it is past its imports and now reads its standard input."""
    while str(path) not in Path(f"/proc/{pid}/maps").read_text():
        time.sleep(0.02)


@pytest.mark.parametrize("text", ["\ufeffHello", "Hello\r\n", "\ufeffHello\n"])
def test_marks_and_line_ends_of_windows_are_no_part_of_a_prompt(
    sharkpack: Sharkpack, bundle: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def run(prompt: str) -> object:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(prompt.encode())))
        return json.loads(sharkpack("run", bundle, "-", "--json", "--max-tokens", "1").out)["prompt_ids"]

    assert run(text) == run("Hello")
