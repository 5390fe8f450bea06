"""An external load balancer for one model or several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cdk_inference.archive import digest
from cdk_inference.gcp.bindings import bindings_of
from cdk_inference.gcp.edge_backend import EdgeBackend
from cdk_inference.gcp.edge_protection import EdgeProtection
from cdk_inference.gcp.naming import unique_name
from cdk_inference.gcp.network import Ingress
from cdk_inference.gcp.precomputed_predictions import PrecomputedBackend
from cdk_inference.limits import GOOGLE_CERTIFICATE_DOMAINS, GOOGLE_COMPUTE_NAME_LENGTH
from cdk_inference.validation import Problems
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdk_inference.gcp.cloud_run import CloudRun
    from cdk_inference.gcp.precomputed_predictions import PrecomputedPredictions

_REST: Final = "/"
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_DIGEST_LENGTH: Final = 8


class ServiceEdge(Construct):
    """An external application load balancer before Cloud Run services, on domains of your own.

    It speaks TLS 1.2 and newer with a certificate that Google makes and renews, sends plain HTTP
    there, limits each client's requests, refuses common attacks (Cloud Armor), and, if asked, lets
    in only those with a Google account that you name (Identity-Aware Proxy). A certificate is there
    some minutes after the domains' A records name the output ``Address``.

    Several models are several services, each below a path of its own, which the service does not
    see: ``/scale/predict`` is ``/predict`` to the service at ``/scale``.

    Costs, without a request: two forwarding rules, a Cloud Armor policy and each of its rules:
    https://cloud.google.com/vpc/network-pricing, https://cloud.google.com/armor/pricing

    Args:
        domains: of the certificate, such as ``api.example.org``; 1 to 100, none with a ``*``, and
            none that only the deployment knows, since the certificate is named after them.
        services: by path. ``/`` must be there: it gets what no other path does. All must have the
            ingress ``Ingress.INTERNAL_AND_LOAD_BALANCER``, or requests would go past everything
            here.
        precomputed: answers in buckets, by path, served from Google's edge (Cloud CDN).
        protection: Default: 600 requests a minute from one address, and three rule sets.
        iap_members: who may send requests, such as ``group:data@example.org``; the service is then
            called by the proxy, and nobody else needs :meth:`CloudRun.grant_invoke`. Default: the
            proxy is off, and services check callers as without a load balancer.

    Attributes:
        address: the ``google_compute_global_address``.
        url_map: the ``google_compute_url_map``.
        backends: the ``google_compute_backend_service`` of each service, by path.

    Raises:
        ConfigurationError: something cannot work; the message lists everything that cannot.

    Example:
        >>> edge = ServiceEdge(
        ...     stack, "Edge", domains=["api.example.org"], services={"/": digits, "/scale": scale}
        ... )
    """

    address: Final[Any]
    url_map: Final[Any]
    backends: Final[Mapping[str, Any]]

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        domains: Sequence[str],
        services: Mapping[str, CloudRun],
        precomputed: Mapping[str, PrecomputedPredictions] | None = None,
        protection: EdgeProtection | None = None,
        iap_members: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        self._bindings = bindings_of(self)
        self._name = unique_name(self, GOOGLE_COMPUTE_NAME_LENGTH)
        precomputed = precomputed or {}
        protection = protection or EdgeProtection()

        problems = Problems(self.node.path)
        _check_domains(domains, problems)
        _check_services(services, problems)
        _check_paths([*services, *precomputed], problems)
        for predictions in precomputed.values():
            predictions.check(self._bindings, problems)
        protection.check(self._bindings, problems)
        problems.raise_if_any()

        policy = protection.policy(self)
        projects = self._bindings.google("data_google_project")
        number = projects.DataGoogleProject(self, "Project").number
        self.backends = {
            path: EdgeBackend(
                self,
                f"Backend{_id(path)}",
                service=service,
                policy=policy.id,
                iap_members=iap_members,
                project_number=number,
            ).backend
            for path, service in services.items()
        }
        buckets = {
            path: PrecomputedBackend(
                self, f"Precomputed{_id(path)}", predictions=predictions, project_number=number
            ).backend
            for path, predictions in precomputed.items()
        }
        folders = {path: predictions.folder for path, predictions in precomputed.items()}
        self.url_map = self._url_map(buckets, folders)
        self.address = self._bindings.google("compute_global_address").ComputeGlobalAddress(
            self, "Address", name=self._name
        )
        self._listen(domains)
        self._redirect()
        self._bindings.core.TerraformOutput(
            self,
            "Ip",
            value=self.address.address,
            description=f"What the A records of {', '.join(domains)} must name",
        )

    def _url_map(self, buckets: Mapping[str, Any], folders: Mapping[str, str]) -> Any:
        maps = self._bindings.google("compute_url_map")
        below = {path: one for path, one in self.backends.items() if path != _REST} | dict(buckets)
        rules = [
            maps.ComputeUrlMapPathMatcherPathRule(
                paths=[f"{path}/*"],
                service=backend.id,
                route_action=maps.ComputeUrlMapPathMatcherPathRuleRouteAction(
                    url_rewrite=maps.ComputeUrlMapPathMatcherPathRuleRouteActionUrlRewrite(
                        path_prefix_rewrite=f"/{folders.get(path, '')}"
                    )
                ),
            )
            for path, backend in below.items()
        ]
        rest = self.backends[_REST].id
        return maps.ComputeUrlMap(
            self,
            "Paths",
            name=self._name,
            default_service=rest,
            host_rule=[maps.ComputeUrlMapHostRule(hosts=["*"], path_matcher="paths")],
            path_matcher=[
                maps.ComputeUrlMapPathMatcher(name="paths", default_service=rest, path_rule=rules)
            ],
        )

    def _listen(self, domains: Sequence[str]) -> None:
        google = self._bindings.google
        certificates = google("compute_managed_ssl_certificate")
        # It cannot be changed while it is in use: other domains make another, under another name.
        suffix = digest(*domains)[:_DIGEST_LENGTH]
        certificate = certificates.ComputeManagedSslCertificate(
            self,
            "Certificate",
            name=unique_name(self, GOOGLE_COMPUTE_NAME_LENGTH - 1 - _DIGEST_LENGTH) + f"-{suffix}",
            managed=certificates.ComputeManagedSslCertificateManaged(domains=list(domains)),
            lifecycle=self._bindings.core.TerraformResourceLifecycle(create_before_destroy=True),
        )
        tls = google("compute_ssl_policy").ComputeSslPolicy(
            self, "Tls", name=self._name, profile="MODERN", min_tls_version="TLS_1_2"
        )
        proxy = google("compute_target_https_proxy").ComputeTargetHttpsProxy(
            self,
            "Https",
            name=self._name,
            url_map=self.url_map.id,
            ssl_certificates=[certificate.id],
            ssl_policy=tls.id,
        )
        self._forward(self, proxy, "443")

    def _redirect(self) -> None:
        """Send whoever comes in the clear to HTTPS, with the method that they came with."""
        google = self._bindings.google
        scope = Construct(self, "Redirect")
        name = unique_name(scope, GOOGLE_COMPUTE_NAME_LENGTH)
        maps = google("compute_url_map")
        everything = maps.ComputeUrlMap(
            scope,
            "Paths",
            name=name,
            default_url_redirect=maps.ComputeUrlMapDefaultUrlRedirect(
                https_redirect=True,
                redirect_response_code="PERMANENT_REDIRECT",
                strip_query=False,
            ),
        )
        proxy = google("compute_target_http_proxy").ComputeTargetHttpProxy(
            scope, "Http", name=name, url_map=everything.id
        )
        self._forward(scope, proxy, "80")

    def _forward(self, scope: Construct, proxy: Any, port: str) -> None:
        rules = self._bindings.google("compute_global_forwarding_rule")
        rules.ComputeGlobalForwardingRule(
            scope,
            "Rule",
            name=unique_name(scope, GOOGLE_COMPUTE_NAME_LENGTH),
            load_balancing_scheme="EXTERNAL_MANAGED",
            ip_address=self.address.id,
            ip_protocol="TCP",
            port_range=port,
            target=proxy.id,
        )


def _id(path: str) -> str:
    """A construct's id for a path: ``/scale/v1`` becomes ``ScaleV1``, and ``/`` nothing."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", path))


def _check_domains(domains: Sequence[str], problems: Problems) -> None:
    if not 1 <= len(domains) <= GOOGLE_CERTIFICATE_DOMAINS:
        problems.add(
            f"domains has {len(domains)}",
            allowed=f"a certificate is for 1 to {GOOGLE_CERTIFICATE_DOMAINS}",
            remedy="name those that clients use",
        )
    for domain in domains:
        if not _DOMAIN.fullmatch(domain):
            problems.add(
                f"domains has {domain!r}",
                allowed="it takes names in lower case, without scheme or path, and none with a *",
                remedy="write it as in 'api.example.org'",
            )


def _check_services(services: Mapping[str, CloudRun], problems: Problems) -> None:
    if _REST not in services:
        problems.add(
            f"services has {_listed(services)}",
            allowed=f"{_REST!r} gets what no other path does",
            remedy=f"give one of the services the path {_REST!r}",
        )
    for service in services.values():
        if service.ingress is not Ingress.INTERNAL_AND_LOAD_BALANCER:
            problems.add(
                f"{service.node.path} has ingress {service.ingress.name}",
                allowed="what does not come through this load balancer would not be checked by it,"
                " and an internal service would not be reached",
                remedy="give the service ingress=Ingress.INTERNAL_AND_LOAD_BALANCER",
            )


def _check_paths(paths: Sequence[str], problems: Problems) -> None:
    ids = [_id(path) for path in paths]
    for path, id in zip(paths, ids, strict=True):
        if path != _REST and not _PATH.fullmatch(path):
            problems.add(
                f"the path is {path!r}",
                allowed="it starts with a /, ends without one, and has letters, digits and . _ ~ -",
                remedy="write it as in '/scale' or '/models/scale'",
            )
        if ids.count(id) > 1:
            problems.add(
                f"the path is {path!r}",
                allowed="each is there once, and differs from the others in letters and digits",
                remedy="choose another",
            )


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(map(repr, paths)) or "none"
