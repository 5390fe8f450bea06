"""Amazon SageMaker's container contract: ``GET /ping`` and ``POST /invocations``.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

Every HTTP server answers them: SageMaker sets no variable by which a container knows it, and no
other platform gives these paths another meaning.
"""

from __future__ import annotations

from inference_runtime import jsonio
from inference_runtime.exchange import json_reply
from inference_runtime.routing import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inference_runtime.dataplane import DataPlane
    from inference_runtime.exchange import Exchange
    from inference_runtime.messages import Reply


class SageMakerEndpoints:
    """SageMaker's two paths, for the default model.

    Args:
        plane: whose models answer.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def routes(self) -> list[Route]:
        """The paths that are answered here."""
        return [
            Route("GET", "/ping", self.ping),
            Route("POST", "/invocations", self.invocations),
        ]

    def ping(self, exchange: Exchange) -> Reply:
        """Whether the model answers: 200, or 503."""
        return self._plane.simple.health(exchange)

    def invocations(self, exchange: Exchange) -> Reply:
        """A prediction: of the simple form or the Open Inference Protocol, as the body is."""
        payload = jsonio.loads(exchange.body)
        protocol = self._plane.protocol(payload)
        exchange.error_body = protocol.error_body
        return json_reply(protocol.answer_object(payload, exchange))
