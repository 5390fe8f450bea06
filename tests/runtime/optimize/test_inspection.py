"""`inference-runtime inspect`: what it knows, and that its requests can be sent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from inference_runtime.cli.main import main
from inference_runtime.messages import Request
from inference_runtime.optimize.inspection import example_requests, inspect_model
from inference_runtime.serving import start
from inference_runtime.settings import Settings

from tests.runtime import onnx_models
from tests.runtime.optimize import models


def test_everything_of_the_demo_s_model_is_shown(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(digits / "digits.onnx")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "pixels FP32[?, 64]", "probabilities FP32[?, 10]", "ai.onnx 18, ai.onnx.ml 1", "21.1 kB",
        "written by skl2onnx", "class_labels [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "2 MatMul",
        "ai.onnx.ml.ArrayFeatureExtractor", "engine capi", '{"features": [', '"datatype": "FP32"',
    ):  # fmt: skip
        assert part in shown


@pytest.mark.parametrize(
    "make", [models.dense, models.transformer, models.convolutions, onnx_models.scaled,
             onnx_models.shout, onnx_models.sum_and_product, onnx_models.lookup],
)  # fmt: skip
def test_the_example_requests_are_answered(make: object, tmp_path: Path) -> None:
    path = models.save(make(), tmp_path)  # type: ignore[operator]
    plane = start(Settings.read({"MODEL_URI": path}))
    requests = example_requests(inspect_model(path).signature)
    for form, route in (
        ("simple form", "/predict"), ("Open Inference Protocol", "/v2/models/model/infer")
    ):  # fmt: skip
        body = json.dumps(requests[form]).encode()
        headers = {"content-type": "application/json"}
        reply = plane.handle(Request("POST", route, headers, body, "id"))
        assert reply.status == 200, (form, reply.body)


def test_example_numbers_have_the_digits_of_their_type(digits: Path) -> None:
    request = example_requests(inspect_model(str(digits / "digits.onnx")).signature)
    assert request["simple form"]["features"][:3] == [0.0, 0.62, 0.98]
    assert request["Open Inference Protocol"]["inputs"][0]["data"][:3] == [0.0, 0.62, 0.98]


def test_external_data_and_operators_of_other_domains_are_counted(tmp_path: Path) -> None:
    found = inspect_model(onnx_models.save(onnx_models.zipmap_classifier(), tmp_path / "m.onnx"))
    assert found.operators["ai.onnx.ml.ZipMap"] == 1
    assert found.other_outputs == ["probabilities"]
    assert found.outcome.timing is not None
    assert found.outcome.timing.engine == "stock"


def test_a_model_that_does_not_run_on_made_up_input_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models.save(onnx_models.square(), tmp_path)
    assert main(["inspect", path]) == 0
    assert "it did not run on made-up input" in capsys.readouterr().out


def test_the_manifest_s_files_are_checked_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = onnx_models.save(models.dense(), tmp_path / "mine.onnx")
    output = tmp_path / "out"
    quick = ["--rounds", "1", "--runs", "1", "--candidates", "graph"]
    assert main(["optimize", path, "-o", str(output), *quick]) == 0
    capsys.readouterr()
    model = str(output / "model.onnx")
    assert inspect_model(model).manifest == ""
    assert main(["inspect", model]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    served = json.loads((output / "manifest.json").read_text())["served"]["file"]
    assert "every file is the one it was made for" in shown
    assert f"serves here {served}" in shown

    document = json.loads((output / "manifest.json").read_text()) | {"onnxruntime": "1.2.3"}
    (output / "manifest.json").write_text(json.dumps(document))
    assert inspect_model(model).manifest == ""
    assert inspect_model(model).serves.startswith(
        "model.onnx: it was optimised with onnxruntime 1.2.3, and this is "
    )

    data = output / "model.onnx.data"
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)
    assert "model.onnx.data is not the file" in str(inspect_model(model).manifest)
    (output / "manifest.json").write_text("{}")
    assert "no manifest" in str(inspect_model(model).manifest)
    shutil.rmtree(output)


def test_missing_external_data_are_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(models.dense(), path, save_as_external_data=True, location="weights")
    (tmp_path / "weights").unlink()
    assert main(["inspect", str(path)]) == 1
    assert f"refers to external data in {tmp_path}/weights" in capsys.readouterr().err


def test_a_missing_file_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "absent.onnx"]) == 1
    assert "there is no file absent.onnx" in capsys.readouterr().err
