"""A Lambda extension that fetches a model while the runtime starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_lambda as lambda_

from cdk_inference.artifact import extension_archive

if TYPE_CHECKING:
    from constructs import Construct


class ModelCacheExtension(lambda_.LayerVersion):
    """A layer with an external extension: it fetches the model that ``MODEL_URI`` names into /tmp.

    Lambda starts it before the runtime. It registers, and then fetches the model in parallel ranges
    while the runtime is imported in a process of its own; checks its digest while it lands; and
    gives the files their names when they are whole. The runtime waits for it by a lock on the
    file system, which goes with the process that holds it: where the extension fails or is killed,
    the runtime goes on with what has landed. The INIT phase ends when the model is there.

    Afterwards it does nothing, and asks for no event but the end. It takes 7 MB of the function's
    memory, and 35 ms before the runtime starts. Without it the runtime fetches in threads from its
    first line on: under AWS's own emulator on two cores, from loopback, that was 35 ms faster for a
    model of 4 MB, and neither was faster from 16 to 300 MB. So it is for functions whose own
    imports take long; measure yours. ``ModelSource.s3(store, model_cache=True)`` adds it, to an
    image too, where there are no layers.

    The layer holds a start script. The program is in the runtime's own code, so this is for
    functions of this library, on any Python and either architecture.

    Example:
        >>> ModelCacheExtension(stack, "ModelCache")
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(
            scope,
            id,
            code=lambda_.Code.from_asset(str(extension_archive().path)),
            description="Fetches the model while the runtime starts",
        )
