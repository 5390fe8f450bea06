"""From what ``MODEL_URI`` names to services that answer."""

from __future__ import annotations

from inference_runtime import jsonio, manifest
from inference_runtime.engine import selection
from inference_runtime.engine.ahead import LoadAhead
from inference_runtime.engine.profiles import profile_of
from inference_runtime.engine.threads import intra_op_threads, vcpus
from inference_runtime.models import find_models
from inference_runtime.models.memory import check_fits
from inference_runtime.service import InferenceService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_runtime.engine import Engine
    from inference_runtime.engine.options import LoadOptions
    from inference_runtime.engine.providers import Providers
    from inference_runtime.manifest import Served
    from inference_runtime.models import FoundModel
    from inference_runtime.settings import Settings


class Loader:
    """Makes the services of this process's models. That of the default one is begun at once.

    Args:
        settings: of this process.

    Attributes:
        models: as ``find_models`` gives them.
        threads: of one run.
        profile: what a load weighs most.
        ahead: makes the default model's service, in a thread.

    Raises:
        ModelNotLoaded: ``MODEL_URI`` names a repository that cannot be listed or holds no model.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.profile = profile_of(settings)
        self.threads = settings.threads or intra_op_threads(vcpus(settings.lambda_memory_mb))
        self._providers = None if settings.on_cpu else _providers(settings)
        self.models = find_models(settings)
        default = [model for model in self.models if model.name == self.models[0].name][-1]
        self.ahead = LoadAhead(lambda: self.load(default, lambda _size: None))

    def load(self, model: FoundModel, make_room: Callable[[int], None]) -> InferenceService:
        """The service of a model.

        Args:
            model: of ``models``.
            make_room: is told its size in bytes before it takes memory.

        Raises:
            ModelNotLoaded: it is missing, broken, or not servable.
        """
        files = model.fetch()
        make_room(files.size)
        jsonio.expect(files.served.request_elements)
        engine = manifest.or_original(files.served, lambda it: self._engine(it, files.size))
        return InferenceService(self._with_layers(engine), files)

    def _engine(self, served: Served, size: int) -> Engine:
        first, later = self.profile.options(served)
        engine = self._load(served, first)
        if later is None:
            return engine
        from inference_runtime.engine.packing import PackAfterwards

        return PackAfterwards(engine, lambda: self._load_packed(served, later, size))

    def _load_packed(self, served: Served, options: LoadOptions, size: int) -> Engine:
        check_fits(served.path, 0, size, self._settings.lambda_memory_mb)
        return self._load(served, options)

    def _load(self, served: Served, options: LoadOptions) -> Engine:
        engine = self._settings.engine
        return selection.load(served.path, self.threads, engine, options, self._providers)

    def _with_layers(self, engine: Engine) -> Engine:
        settings = self._settings
        if settings.batching == "off" and not settings.response_cache:
            return engine
        from inference_runtime.engine.layers import add_layers  # few starts need them

        return add_layers(engine, settings)


def _providers(settings: Settings) -> Providers:
    from inference_runtime.engine.providers import Providers  # few processes have others

    return Providers(
        settings.providers,
        require_gpu=settings.require_gpu,
        tensorrt_cache_dir=settings.tensorrt_cache_dir,
    )
