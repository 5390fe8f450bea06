"""What nginx is told, in front of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Google's front ends keep their connections for 600 s; who closes first loses requests.
# https://cloud.google.com/load-balancing/docs/https#timeout-keepalive-backends
_KEEP_ALIVE_SECONDS: Final = 620
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30
# One state takes 128 bytes: 80,000 clients, and then the longest unseen are forgotten.
# https://nginx.org/en/docs/http/ngx_http_limit_req_module.html
_CLIENTS_ZONE: Final = "10m"
_BODY_BUFFER_BYTES: Final = 2**16
_CONNECTIONS: Final = 2048
_KEPT_CONNECTIONS: Final = 32

# What nginx itself refuses, in the words that the runtime has for it: status, code, message.
_REFUSALS: Final = (
    (413, "PAYLOAD_TOO_LARGE", "the body has more than {max_body_bytes} bytes"),
    (429, "OVERLOADED", "more requests than are allowed; send it again later"),
    (502, "NOT_READY", "the server does not answer; send the request again"),
    (504, "DEADLINE_EXCEEDED", "the request took more than {timeout_seconds} s"),
)


@dataclass(frozen=True)
class NginxConfiguration:
    """The values in nginx's configuration.

    Attributes:
        port: where nginx listens.
        runtime_port: where the runtime does, on this instance.
        requests_per_second: of one client.
        burst: of one client, beyond that, at once.
        load_balancers: how many add their own address to ``X-Forwarded-For`` after the client's.
        max_body_bytes: of a request.
        buffer_requests: whether the runtime gets a request only when its body is whole.
        timeout_seconds: for the runtime's answer.
        trusted_certificate: the path of what the runtime's certificate is checked against;
            ``None`` for plain HTTP to the runtime.
    """

    port: int
    runtime_port: int
    requests_per_second: int
    burst: int
    load_balancers: int
    max_body_bytes: int
    buffer_requests: bool
    timeout_seconds: int
    trusted_certificate: str | None

    def text(self) -> str:
        """The file; what is relative in it is in nginx's own folder (``-p``)."""
        return _FILE.format(
            **vars(self),
            scheme="http" if self.trusted_certificate is None else "https",
            buffering="on" if self.buffer_requests else "off",
            body_buffer_bytes=self.max_body_bytes if self.buffer_requests else _BODY_BUFFER_BYTES,
            at_once=f" burst={self.burst} nodelay" if self.burst else "",
            bodies=_bodies(self.refusal_bodies()),
            pages=_pages(),
            tls=self._tls(),
            connections=_CONNECTIONS,
            kept_connections=_KEPT_CONNECTIONS,
            clients_zone=_CLIENTS_ZONE,
            keep_alive_seconds=_KEEP_ALIVE_SECONDS,
            connect_seconds=_CONNECT_SECONDS,
            read_seconds=_READ_SECONDS,
        )

    def refusal_bodies(self) -> dict[int, tuple[str, str]]:
        """The body of each status that nginx answers with itself: in the form of the Open Inference
        Protocol, and in the simple form.
        """
        bodies = {}
        for status, code, message in _REFUSALS:
            text = message.format(**vars(self))
            simple = f'{{"error": {{"code": "{code}", "message": "{text}"}}}}'
            bodies[status] = (f'{{"error": "{text}"}}', simple)
        return bodies

    def _tls(self) -> str:
        if self.trusted_certificate is None:
            return ""
        return _TLS.format(trusted_certificate=self.trusted_certificate)


def _bodies(bodies: dict[int, tuple[str, str]]) -> str:
    return "".join(
        f"""\
    map $uri $body_{status} {{
        "~^/v2(/|$)" '{protocol}';
        default '{simple}';
    }}
"""
        for status, (protocol, simple) in bodies.items()
    )


def _pages() -> str:
    return "".join(
        f"""\
        error_page {status} @refuse_{status};
        location @refuse_{status} {{ return {status} $body_{status}; }}
"""
        for status, _, _ in _REFUSALS
    )


_TLS: Final = """\
        proxy_ssl_trusted_certificate {trusted_certificate};
        proxy_ssl_verify on;
        proxy_ssl_name localhost;
        proxy_ssl_server_name on;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
"""

# Bodies are kept in memory, and never in files: on Cloud Run those are memory, too.
_FILE: Final = """\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr warn;

events {{
    worker_connections {connections};
}}

http {{
    access_log off;
    server_tokens off;
    default_type application/json;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
{bodies}
    # The client's address is the last that Google's front end did not add itself.
    map $http_x_forwarded_for $client {{
        "~(?<address>[^,\\s]+)(\\s*,[^,]*){{{load_balancers}}}\\s*$" $address;
        default $remote_addr;
    }}
    limit_req_zone $client zone=clients:{clients_zone} rate={requests_per_second}r/s;
    limit_req_status 429;

    upstream runtime {{
        server 127.0.0.1:{runtime_port};
        keepalive {kept_connections};
    }}

    server {{
        listen 0.0.0.0:{port};
        keepalive_timeout {keep_alive_seconds}s;
        client_header_timeout {read_seconds}s;
        client_body_timeout {read_seconds}s;
        client_max_body_size {max_body_bytes};
        client_body_buffer_size {body_buffer_bytes};

        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_request_buffering {buffering};
        proxy_max_temp_file_size 0;
        proxy_next_upstream off;
        proxy_connect_timeout {connect_seconds}s;
        proxy_send_timeout {timeout_seconds}s;
        proxy_read_timeout {timeout_seconds}s;
{tls}
{pages}
        location / {{
            limit_req zone=clients{at_once};
            proxy_pass {scheme}://runtime;
        }}

        # Cloud Run's own probes.
        location /v2/health/ {{
            proxy_pass {scheme}://runtime;
        }}
    }}
}}
"""
