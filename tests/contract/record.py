"""Record the corpus again: ``uv run python -m tests.contract.record``.

The replies of all requests in ``corpus/*.json`` are written anew, as the data plane itself gives
them. Read the difference before you commit it: it is what every caller will notice.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from inference_runtime import messages, serving
from inference_runtime.dataplane import DataPlane
from inference_runtime.settings import Settings

from tests.contract.corpus import NAMES, REQUEST_ID, Corpus, read_request, write_body


def main() -> None:
    for name in NAMES:
        corpus = Corpus(name)
        with tempfile.TemporaryDirectory() as folder:
            plane = serving.start(Settings.read(corpus.environ(Path(folder))))
            for exchange in corpus.content["exchanges"]:
                exchange["reply"] = answer(plane, exchange["request"])
        corpus.path.write_text(dumps(corpus.content))


def answer(plane: DataPlane, recorded: dict[str, Any]) -> dict[str, Any]:
    request = read_request(recorded)
    headers = {name.lower(): value for name, value in request.headers.items()}
    reply = plane.handle(
        messages.Request(request.method, request.path, headers, request.body, REQUEST_ID)
    )
    is_json = reply.headers.get("content-type") == "application/json"
    body = write_body(reply.body, is_json=is_json)
    return {"status": reply.status, "headers": reply.headers, **body}


def dumps(content: dict[str, Any]) -> str:
    """JSON with a line for each name, request and reply."""
    exchanges = ",\n".join(
        "    {\n"
        + ",\n".join(
            f'      "{key}": {json.dumps(exchange[key], ensure_ascii=False)}'
            for key in ("name", "request", "reply")
        )
        + "\n    }"
        for exchange in content["exchanges"]
    )
    environment = json.dumps(content["environment"])
    return (
        f'{{\n  "model": "{content["model"]}",\n  "environment": {environment},\n'
        f'  "exchanges": [\n{exchanges}\n  ]\n}}\n'
    )


if __name__ == "__main__":
    main()
