"""`inference-runtime optimize`, as people call it: what it writes, refuses and leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import onnx
import onnxruntime
import pytest
from inference_runtime import manifest
from inference_runtime.cli.main import main
from inference_runtime.loading import Loader
from inference_runtime.messages import Request
from inference_runtime.optimize import units
from inference_runtime.optimize.candidates.onnxruntime_tools import to_ort_format
from inference_runtime.optimize.recipes import RECIPES
from inference_runtime.serving import start
from inference_runtime.settings import Settings

from tests.runtime.onnx_models import lookup, save
from tests.runtime.optimize import models

QUICK = ("--rounds", "1", "--runs", "3")


def optimize(*arguments: str | Path) -> int:
    return main(["optimize", *map(str, arguments), *QUICK])


def document(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / manifest.MANIFEST_FILE).read_text())
    return loaded


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model, optimised on its samples, with every candidate."""
    digits = Path(__file__).parents[3] / "models" / "digits"
    output = tmp_path_factory.mktemp("optimize") / "digits"
    samples = digits / "samples.json"
    names = ",".join(RECIPES)
    code = optimize(
        digits / "digits.onnx", "--samples", samples, "-o", output, "--candidates", names
    )
    assert code == 0
    return output


def test_the_demo_s_model_reads_the_digits_after_optimisation(demo: Path, digits: Path) -> None:
    samples = json.loads((digits / "samples.json").read_text())
    settings = Settings.read({"MODEL_URI": str(demo / "model.onnx")})
    body = json.dumps({"features": [sample["pixels"] for sample in samples]}).encode()
    reply = start(settings).handle(Request("POST", "/predict", {}, body, "id"))
    predictions = json.loads(reply.body)["predictions"]
    assert [p["label"] for p in predictions] == [sample["label"] for sample in samples]


def test_the_manifest_says_what_was_made_measured_and_chosen(demo: Path) -> None:
    written = document(demo)
    served = manifest.served(str(demo / "model.onnx"))
    assert Path(served.path).name == written["served"]["file"]
    for part in ("original", "served"):
        manifest.check_files(written[part]["files"], str(demo), whole=True)
    assert written["onnxruntime"] == onnxruntime.__version__
    assert written["engine"] == "capi"
    assert written["class_labels"] == list(range(10))
    assert written["how"]["samples"] == 10
    assert written["instruction_set"] is None

    figures = {candidate["name"]: candidate for candidate in written["candidates"]}
    assert set(figures) | set(written["skipped"]) == {"original", *RECIPES}
    assert set(written["skipped"]) == {"fused", "layout"}
    for candidate in figures.values():
        assert candidate["size_bytes"] > candidate["compressed_bytes"] > 0
        assert set(candidate["latency_ms"]) == {"1", "8", "32"}
        for run in candidate["latency_ms"].values():
            assert 0 < run["p50"] <= run["p95"] <= run["p99"]
        assert min(candidate["load_ms"], candidate["first_ms"]) > 0
        assert candidate["peak_bytes"] > 1_000_000
        assert candidate["lambda_usd_per_million_calls"]["256"] >= 0.2
        assert 0 <= candidate["mean_error"] <= candidate["max_error"]
        assert 0 <= candidate["agreement"] <= 1
    assert figures["original"]["max_error"] == 0
    assert figures["pruned"]["rejected"] == "for information"
    assert figures["int8-dynamic"]["size_bytes"] < figures["original"]["size_bytes"] / 2
    assert written["how"]["candidate"] not in {
        name for name in figures if figures[name]["rejected"]
    }


def texts(picture: Path) -> list[str]:
    return [text for text in ElementTree.parse(picture).getroot().itertext() if text.strip()]


def test_the_picture_shows_every_candidate_s_figures(demo: Path) -> None:
    shown = texts(demo / "report.svg")
    for candidate in document(demo)["candidates"]:
        assert candidate["name"] in shown
        assert units.size(candidate["size_bytes"]) in shown
        assert units.size(candidate["peak_bytes"]) in shown
        assert units.share(candidate["max_error"]) in shown
    assert "–" not in shown, "all was measured"


def test_the_tables_show_every_candidate_and_why_others_are_left_out(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "graph,fused,int4"
    code = optimize(
        digits / "digits.onnx", "--samples", digits / "samples.json", "-o", tmp_path / "out",
        "--candidates", names, "--max-error", "1e-6",
    )  # fmt: skip
    captured = capsys.readouterr()
    assert code == 0
    assert "int4" in captured.out
    assert "> 1e-06" in captured.out
    assert "fused was left out: it has no attention" in captured.out
    for title in ("Size and start", "Answers on 10 samples", "Ways to load '"):
        assert title in captured.out
    assert "Making candidates" in captured.err
    for candidate in document(tmp_path / "out")["candidates"]:
        rows = [line.split()[1:] for line in captured.out.splitlines() if candidate["name"] in line]
        assert any(close(row, latencies(candidate), abs=0.002, rel=0.01) for row in rows)
        assert any(close(row, costs(candidate), abs=0.005) for row in rows)


def latencies(candidate: dict[str, Any]) -> list[float]:
    """The row of the table "Milliseconds of a run, by its rows"."""
    runs = (candidate["latency_ms"][rows] for rows in ("1", "8", "32"))
    return [run[percentile] for run in runs for percentile in ("p50", "p95", "p99")]


def costs(candidate: dict[str, Any]) -> list[float]:
    """The row of the table "US dollars for a million calls on Lambda"."""
    return list(candidate["lambda_usd_per_million_calls"].values())


def close(shown: list[str], expected: list[float], **tolerance: float) -> bool:
    """Whether the cells of a row are these numbers, rounded."""
    numbers = all(cell.replace(".", "").isdigit() for cell in shown)
    return numbers and [float(cell) for cell in shown] == pytest.approx(expected, **tolerance)


def test_large_models_are_written_with_external_data_and_serve(tmp_path: Path) -> None:
    path = save(models.dense(), tmp_path / "mine.onnx")
    assert optimize(path, "-o", tmp_path / "out", "--candidates", "graph", "--calls", "1") == 0
    written = document(tmp_path / "out")
    assert "model.onnx.data" in written["original"]["files"]
    service = Loader(Settings.read({"MODEL_URI": str(tmp_path / "out" / "model.onnx")})).ahead()
    assert list(service.signature.inputs) == ["features"]


def test_the_manifest_says_where_weights_are_and_how_large_a_request_is(tmp_path: Path) -> None:
    path = save(models.dense(), tmp_path / "mine.onnx")
    output = tmp_path / "out"
    # A candidate that is not optimised at load serves, for nobody makes a run after the first.
    assert optimize(path, "-o", output, "--candidates", "graph", "--calls", "1") == 0
    written = document(output)
    features = models.dense().graph.input[0].type.tensor_type.shape.dim[1].dim_value
    assert written["load"]["request_elements"] == features
    served = manifest.served(str(output / "model.onnx"))
    assert served.request_elements == features
    if served.path.endswith(".ort") or served.options.optimize_graph:
        assert written["served"]["weights"] is None
        return
    assert served.options.weights is not None
    assert served.options.weights.json == written["served"]["weights"]
    size = (output / served.options.weights.file).stat().st_size
    assert sum(weight.size for weight in served.options.weights.tensors) == size


def test_without_samples_only_what_keeps_answers_is_tried(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert optimize(digits / "digits.onnx", "-o", tmp_path / "out") == 0
    written = document(tmp_path / "out")
    assert {c["name"] for c in written["candidates"]} == {"original", "slim", "graph"}
    lossy = {name for name, recipe in RECIPES.items() if recipe.lossy and recipe.by_default}
    for name in lossy:
        assert "needs --samples" in written["skipped"][name]
    assert written["how"]["samples"] == 0
    assert "largest error" not in texts(tmp_path / "out" / "report.svg")
    assert "Give --samples of real input" in capsys.readouterr().out


def test_what_is_for_this_processor_says_so(tmp_path: Path) -> None:
    path = save(models.convolutions(), tmp_path / "mine.onnx")
    output = tmp_path / "out"
    assert optimize(path, "-o", output, "--candidates", "layout") == 0
    written = document(output)
    if written["how"]["candidate"] == "layout":
        assert written["instruction_set"] == manifest.instruction_set()
        assert written["optimization_level"] == "all"
    else:
        assert written["instruction_set"] is None


def test_a_second_run_replaces_the_first(tmp_path: Path, digits: Path) -> None:
    output = tmp_path / "out"
    for name in ("slim", "graph"):
        assert optimize(digits / "digits.onnx", "-o", output, "--candidates", name) == 0
    assert {c["name"] for c in document(output)["candidates"]} == {"original", "graph"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interrupt_while_it_is_replaced_keeps_the_first(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, rename, interrupts = str(tmp_path / "out"), os.rename, [KeyboardInterrupt()]
    arguments = (digits / "digits.onnx", "-o", output, "--candidates", "slim")
    assert optimize(*arguments) == 0
    first = document(Path(output))

    def interrupted(source: str, target: str) -> None:
        rename(source, target)
        if source == output and interrupts:
            raise interrupts.pop()

    monkeypatch.setattr(os, "rename", interrupted)
    assert optimize(*arguments) == 130
    assert document(Path(output)) == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.onnx"], "there is no file absent.onnx"),
        (["broken.onnx"], "is no ONNX model, or was cut short (4 bytes)"),
        (["far.json"], "far.json is no ONNX model"),
        (["lookup.ort"], "lookup.ort is in onnxruntime's own format"),
        (["lookup.onnx", "-o", "lookup.onnx/out"], "lookup.onnx/out cannot be written"),
        (["lookup.onnx", "--samples", "absent.npz"], "no such file"),
        (["lookup.onnx", "--samples", "far.json"], "the model itself cannot run"),
        (["lookup.onnx", "--transformer", "gtp2"], "is 'gtp2', which is none of bart, bert,"),
        (["lookup.onnx", "-o", "taken"], "taken exists and was not written by `optimize`"),
        (["lookup.onnx", "-o", "model-in-it"], None),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    save(lookup(), tmp_path / "lookup.onnx")
    Path("broken.onnx").write_bytes(b"\x08\x09\x12\x00")
    to_ort_format("lookup.onnx", "lookup.ort")
    Path("far.json").write_text(json.dumps({"features": [0, 99]}))
    Path("taken").mkdir()
    Path("taken/important.txt").write_text("keep")
    before = sorted(tmp_path.iterdir())

    if message is None:
        assert optimize("lookup.onnx", "-o", "model-in-it", "--candidates", "graph") == 0
        arguments, message = ["model-in-it/model.onnx", "-o", "model-in-it"], "would be replaced"
        before = sorted(tmp_path.iterdir())
    elif "-o" not in arguments:
        arguments = [*arguments, "-o", "out"]
    assert optimize(*arguments) == 1
    error = capsys.readouterr().err
    assert "inference-runtime: " in error
    assert message in error.replace("\n", " ")
    assert sorted(tmp_path.iterdir()) == before
    assert Path("taken/important.txt").read_text() == "keep"


def test_wrong_options_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    for option, value, message in (
        ("--candidates", "int3", "'int3' is none of slim, graph"),
        ("--max-error", "2", "2 is no number from 0 to 1"),
        ("--min-agreement", "most", "most is no number from 0 to 1"),
        ("--rounds", "0", "0 is no whole number from 1"),
        ("--runs", "many", "many is no whole number from 1"),
        ("--dynamic-axes", "batch", "not of the form input=axis,axis"),
    ):
        with pytest.raises(SystemExit):
            main(["optimize", "m.onnx", "-o", "out", option, value])
        assert message in capsys.readouterr().err


def measuring(model: str, output: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that optimises for long, and the folder that it works in."""
    before = set(output.parent.glob(".optimizing-*"))
    command = [sys.executable, "-m", "inference_runtime.cli", "optimize", model]
    process = subprocess.Popen(
        [*command, "-o", str(output), "--rounds", "1000"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while True:
        for job in output.parent.glob(".optimizing-*/job.json"):
            if job.parent not in before:
                return process, job.parent
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "inference-runtime: interrupted" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    path = save(models.dense(), tmp_path / "mine.onnx")
    parent = tmp_path / "parent"
    process, _ = measuring(path, parent / "out")
    interrupt(process, number)
    assert list(parent.iterdir()) == []


def test_what_a_killed_run_left_the_next_removes_and_nothing_of_one_that_lives(
    tmp_path: Path,
) -> None:
    path = save(models.dense(), tmp_path / "mine.onnx")
    parent = tmp_path / "parent"
    killed, left = measuring(path, parent / "first")
    killed.kill()
    killed.communicate(timeout=30)
    assert left.exists()
    living, in_use = measuring(path, parent / "second")
    assert not left.exists()
    assert optimize(path, "-o", parent / "third", "--candidates", "graph") == 0
    assert in_use.exists()
    interrupt(living, signal.SIGINT)
    assert [path.name for path in parent.iterdir()] == ["third"]


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["optimize", "--help"])
    text = capsys.readouterr().out
    for word in ("SAMPLES are real inputs", "manifest.json", "zeros in the same time", *RECIPES):
        assert word in text


@pytest.mark.parametrize("command", ["optimize", "inspect"])
def test_without_the_extra_it_says_what_to_install(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    arguments = [command, "m.onnx"] + (["-o", "out"] if command == "optimize" else [])
    assert main(arguments) == 1
    assert "pip install 'inference-runtime[optimize]'" in capsys.readouterr().err


def test_serving_an_optimised_model_imports_nothing_of_this(demo: Path) -> None:
    code = """
import sys
from inference_runtime.cli import main, serve
from inference_runtime.serving import start
from inference_runtime.settings import Settings
main._named(["serve"])
start(Settings.read({"MODEL_URI": sys.argv[1]}))
print([name for name in sys.modules if name.startswith("inference_runtime.optimize")
       or name.partition(".")[0] in ("onnx", "onnxslim", "rich", "numpy", "onnxruntime")])
"""
    path = str(demo / "model.onnx")
    result = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_only_the_sub_command_asked_for_is_imported() -> None:
    code = (
        "import sys; from inference_runtime.cli.main import main\n"
        "try: main(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in sys.modules if n.startswith('inference_runtime.optimize')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_model_that_is_not_better_is_left_as_it_is(tmp_path: Path, digits: Path) -> None:
    output = tmp_path / "out"
    code = optimize(
        digits / "digits.onnx", "--samples", digits / "samples.json", "-o", output,
        "--candidates", "int4", "--max-error", "0",
    )  # fmt: skip
    assert code == 0
    written = document(output)
    assert written["how"]["candidate"] == "original"
    assert onnx.load(output / "model.onnx") == onnx.load(digits / "digits.onnx")
