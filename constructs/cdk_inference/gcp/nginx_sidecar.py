"""nginx in front of the runtime, in every instance of a Cloud Run service."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from cdk_inference.contract import PORT, READY_PATH, TLS_CERTIFICATE, TLS_KEY
from cdk_inference.gcp.container import LIVENESS, Check, Container
from cdk_inference.gcp.machine import least_cpu
from cdk_inference.gcp.nginx_configuration import NginxConfiguration
from cdk_inference.gcp.volume import Medium, ScratchVolume, SecretVolume
from cdk_inference.limits import (
    CLOUD_RUN_REQUEST_BYTES,
    Limit,
)

if TYPE_CHECKING:
    from cdk_inference.gcp.scaling import Scaling
    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.startup_probe import StartupProbe
    from cdk_inference.gcp.volume import Volume
    from cdk_inference.validation import Problems

RUNTIME_PORT: Final = 8081
_NAME: Final = "nginx"
_CONFIGURATION: Final = "NGINX_CONFIGURATION"
_FOLDER_VARIABLE: Final = "NGINX_FOLDER"
_FOLDER: Final = ScratchVolume(_NAME, "/var/run/nginx", Medium.MEMORY, size_mib=8)
# Cloud Run ends containers with SIGTERM, at which nginx drops its requests; at SIGQUIT it answers
# them first: https://nginx.org/en/docs/control.html
_SCRIPT: Final = f"""\
printf %s "${_CONFIGURATION}" > "${_FOLDER_VARIABLE}/nginx.conf" || exit
nginx -p "${_FOLDER_VARIABLE}" -c nginx.conf -e stderr &
nginx=$!
trap 'kill -QUIT $nginx' TERM INT
wait $nginx
code=$?
while kill -0 $nginx 2>/dev/null; do
    wait $nginx
    code=$?
done
exit $code
"""

# As in Google's own example:
# https://github.com/GoogleCloudPlatform/cloud-run-samples/tree/main/multi-container/hello-nginx-sample
_LEAST_MEMORY_MIB: Final = 256
_HALF_CPU: Final = "500m"
_HALF_CPU_MOST_MIB: Final = 1024
_WITHOUT_BODIES_MIB: Final = 64

_MIB: Final = 2**20
_MAX_BODY: Final = Limit(1, CLOUD_RUN_REQUEST_BYTES // _MIB, "MiB", "Cloud Run")


@dataclass(frozen=True)
class TlsToRuntime:
    """TLS between nginx and the runtime, with a certificate of yours.

    Cloud Run encrypts what comes to an instance and what leaves it anyway: this is for those who
    must encrypt what stays in it, too. Make a certificate for this alone, that nothing else trusts,
    as ``openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=localhost
    -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem`` does.

    Attributes:
        certificate: for the name ``localhost``, in PEM. nginx takes no other.
        key: its private key, in PEM.

    Example:
        >>> TlsToRuntime(Secret("tls-certificate", "1"), Secret("tls-key", "1"))
    """

    certificate: Secret
    key: Secret

    @property
    def _certificate_volume(self) -> SecretVolume:
        return SecretVolume("tls-certificate", "/mnt/tls/certificate", self.certificate, "tls.crt")

    @property
    def _key_volume(self) -> SecretVolume:
        return SecretVolume("tls-key", "/mnt/tls/key", self.key, "tls.key")

    @property
    def trusted_certificate(self) -> str:
        """Its path, for nginx."""
        return self._certificate_volume.file

    @property
    def nginx_volumes(self) -> list[Volume]:
        """What nginx reads."""
        return [self._certificate_volume]

    @property
    def runtime_volumes(self) -> list[Volume]:
        """What the runtime reads."""
        return [self._certificate_volume, self._key_volume]

    @property
    def runtime_environment(self) -> dict[str, str]:
        """The runtime's settings for it."""
        return {
            TLS_CERTIFICATE: self._certificate_volume.file,
            TLS_KEY: self._key_volume.file,
        }


@dataclass(frozen=True)
class NginxSidecar:
    """nginx in front of the runtime, in every instance.

    It limits the rate of each client and the size of requests, and gives the runtime a request only
    when it is whole, so that a slow client does not hold one of its turns. Limits are each
    instance's own: with several, a client can send more. What it refuses has the body that the
    runtime would give it.

    Costs half a vCPU and 256 MB for as long as an instance runs; more memory where many large
    requests can come at once.

    Attributes:
        image: nginx's official one by its digest: see :meth:`RuntimeImageRepository.copy`.
        requests_per_second: of one client. Default: 50, more than a person's browser sends.
        burst: requests of one client beyond that, at once. Default: twice as many.
        load_balancers: how many stand before the service, a :class:`ServiceEdge` for example. Each
            adds its own address after the client's. Default: none.
        max_body_mib: of a request. Default: 32, as Cloud Run itself takes over HTTP/1.
        buffer_requests: whether requests wait in nginx until they are whole. Default: they do.
        tls: has nginx speak TLS to the runtime. Default: plain HTTP, which does not leave the
            instance.

    Example:
        >>> CloudRunService(
        ...     stack, "Digits", model=model, image=image, region="europe-west1",
        ...     nginx=NginxSidecar("docker.io/library/nginx@sha256:…", requests_per_second=10),
        ... )
    """

    image: str
    requests_per_second: int = 50
    burst: int | None = None
    load_balancers: int = 0
    max_body_mib: int = _MAX_BODY.maximum
    buffer_requests: bool = True
    tls: TlsToRuntime | None = None

    @property
    def runtime_environment(self) -> dict[str, str]:
        """What the runtime must know of it."""
        return {PORT: str(RUNTIME_PORT), **(self.tls.runtime_environment if self.tls else {})}

    @property
    def runtime_volumes(self) -> list[Volume]:
        """What the runtime's container mounts for it."""
        return self.tls.runtime_volumes if self.tls else []

    @property
    def secrets(self) -> dict[str, Secret]:
        """What the service's account must read for it."""
        return {TLS_CERTIFICATE: self.tls.certificate, TLS_KEY: self.tls.key} if self.tls else {}

    def check(self, port: int, problems: Problems) -> None:
        """Record what nginx, or Cloud Run, does not take; ``port`` is where requests come to."""
        if port == RUNTIME_PORT:
            problems.add(
                f"port is {port}",
                allowed="behind nginx, the runtime listens there",
                remedy="choose another, or leave it out",
            )
        for name, value, least in (
            ("requests_per_second", self.requests_per_second, 1),
            ("burst", self._burst, 0),
            ("load_balancers", self.load_balancers, 0),
        ):
            if value < least:
                problems.add(
                    f"{name} of nginx is {value}",
                    allowed=f"it is {least} or more",
                    remedy="raise it, or leave it out",
                )
        problems.check_within("max_body_mib of nginx", self.max_body_mib, _MAX_BODY)

    @property
    def command(self) -> list[str]:
        """What starts nginx, and ends it when it has answered."""
        return ["sh", "-c", _SCRIPT]

    def container(
        self, runtime: Container, scaling: Scaling, port: int, startup_probe: StartupProbe
    ) -> Container:
        """The container.

        Args:
            runtime: the container that it stands in front of, and starts after.
            scaling: what an instance may get at the same time, and how long that may take.
            port: where requests come to.
            startup_probe: how long the runtime may take.
        """
        tls_volumes = self.tls.nginx_volumes if self.tls else []
        return Container(
            name=_NAME,
            image=self.image,
            command=self.command,
            environment={
                _CONFIGURATION: self.configuration(scaling, port),
                _FOLDER_VARIABLE: _FOLDER.path,
            },
            limits=self._limits(scaling),
            cpu_idle=runtime.cpu_idle,
            port=port,
            # Through nginx: the instance is ready when both are, and lives while both do.
            startup=Check.of(READY_PATH, startup_probe),
            liveness=LIVENESS,
            has_ingress=True,
            volumes=[_FOLDER, *tls_volumes],
            after=[runtime.name],
        )

    def configuration(self, scaling: Scaling, port: int) -> str:
        """What nginx is told."""
        return NginxConfiguration(
            port=port,
            runtime_port=RUNTIME_PORT,
            requests_per_second=self.requests_per_second,
            burst=self._burst,
            load_balancers=self.load_balancers,
            max_body_bytes=self.max_body_mib * _MIB,
            buffer_requests=self.buffer_requests,
            timeout_seconds=scaling.timeout_seconds,
            trusted_certificate=self.tls.trusted_certificate if self.tls else None,
        ).text()

    @property
    def _burst(self) -> int:
        return 2 * self.requests_per_second if self.burst is None else self.burst

    def _memory_mib(self, scaling: Scaling) -> int:
        """For as many of the largest bodies as can come at the same time, in whole 256 MiB."""
        bodies = self.max_body_mib * scaling.concurrency if self.buffer_requests else 0
        return max(_LEAST_MEMORY_MIB, ceil((_WITHOUT_BODIES_MIB + bodies) / 256) * 256)

    def _limits(self, scaling: Scaling) -> dict[str, str]:
        mib = self._memory_mib(scaling)
        memory = f"{mib}Mi"
        cpu = _HALF_CPU if mib <= _HALF_CPU_MOST_MIB else str(least_cpu(memory))
        return {"cpu": cpu, "memory": memory}
