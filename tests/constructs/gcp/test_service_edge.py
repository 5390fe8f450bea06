from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cdk_inference import InferenceModel
from cdk_inference.gcp import (
    Bindings,
    CloudRunService,
    EdgeProtection,
    Ingress,
    PrecomputedPredictions,
    RateLimit,
    ServiceEdge,
    WafRule,
)
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from stacks.cloud_run_edge import CloudRunEdgeStack
from tests.constructs.gcp.terraform import (
    IMAGE,
    REGION,
    construct_ids,
    only_resource,
    refusals,
    resources,
    same_on_both,
    synthesize,
)

DOMAINS = ["api.example.org"]
KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="


def new_service(
    stack: Any,
    model: InferenceModel,
    id: str = "Scale",
    ingress: Ingress = Ingress.INTERNAL_AND_LOAD_BALANCER,
) -> CloudRunService:
    return CloudRunService(stack, id, model=model, image=IMAGE, region=REGION, ingress=ingress)


def make(stack: Any, model: InferenceModel, **options: Any) -> ServiceEdge:
    services = {"/": new_service(stack, model)}
    return ServiceEdge(stack, "Edge", **{"domains": DOMAINS, "services": services, **options})


def rules(stack: Any) -> dict[int, dict[str, Any]]:
    policy = only_resource(stack, "google_compute_security_policy")
    return {rule["priority"]: rule for rule in policy["rule"]}


def path_rules(stack: Any) -> dict[str, dict[str, Any]]:
    (paths,) = (
        one
        for one in resources(synthesize(stack), "google_compute_url_map")
        if "path_matcher" in one
    )
    (matcher,) = paths["path_matcher"]
    return {rule["paths"][0]: rule for rule in matcher.get("path_rule", ())}


def test_minimal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    document = same_on_both(lambda stack: make(stack, model))
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    def make_maximal(stack: Any) -> None:
        ServiceEdge(
            stack,
            "Edge",
            domains=["api.example.org", "api.example.com"],
            services={
                "/": new_service(stack, model),
                "/models/other": new_service(stack, model, "Other"),
            },
            precomputed={
                "/precomputed": PrecomputedPredictions.signed(
                    "gs://my-batches/scale/results/",
                    key=KEY,
                    max_age=timedelta(days=1),
                    cache_key_parameters=("v",),
                ),
                "/examples": PrecomputedPredictions.public("gs://my-examples/"),
            },
            protection=EdgeProtection(
                rate_limit=RateLimit(100, seconds=10), waf_rules=tuple(WafRule), preview=True
            ),
            iap_members=["group:data@example.org"],
        )

    assert same_on_both(make_maximal) == snapshot(extension_class=JSONSnapshotExtension)


def test_it_is_reached_over_tls_alone(stack: Any, model: InferenceModel) -> None:
    make(stack, model)
    document = synthesize(stack)
    (tls,) = resources(document, "google_compute_ssl_policy")
    assert (tls["min_tls_version"], tls["profile"]) == ("TLS_1_2", "MODERN")
    ports = {
        one["port_range"] for one in resources(document, "google_compute_global_forwarding_rule")
    }
    assert ports == {"80", "443"}
    redirects = [
        one["default_url_redirect"]
        for one in resources(document, "google_compute_url_map")
        if "default_url_redirect" in one
    ]
    assert redirects == [
        {
            "https_redirect": True,
            "redirect_response_code": "PERMANENT_REDIRECT",
            "strip_query": False,
        }
    ]


def test_other_domains_are_another_certificate(model: InferenceModel, stack: Any) -> None:
    names = set()
    for index, domains in enumerate((["a.example.org"], ["b.example.org"])):
        service = new_service(stack, model, f"Scale{index}")
        ServiceEdge(stack, f"Edge{index}", domains=domains, services={"/": service})
    for one in resources(synthesize(stack), "google_compute_managed_ssl_certificate"):
        assert one["lifecycle"] == {"create_before_destroy": True}
        names.add(one["name"])
    assert len(names) == 2


def test_attacks_are_refused_first_then_clients_are_limited(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model)
    tried = [rules(stack)[priority] for priority in sorted(rules(stack))]
    assert [rule["action"] for rule in tried] == ["deny(403)"] * 3 + ["throttle", "deny(403)"]
    assert tried[0]["match"]["expr"]["expression"] == (
        "evaluatePreconfiguredWaf('sqli-v33-stable', {'sensitivity': 1})"
    )
    limit = tried[3]["rate_limit_options"]
    assert limit["rate_limit_threshold"] == {"count": 600, "interval_sec": 60}
    assert (limit["enforce_on_key"], limit["exceed_action"]) == ("IP", "deny(429)")
    (backend,) = resources(synthesize(stack), "google_compute_backend_service")
    assert backend["security_policy"].endswith(".id}")


def test_each_model_has_its_path_which_its_service_does_not_see(
    stack: Any, model: InferenceModel
) -> None:
    services = {path: new_service(stack, model, f"S{path[1:]}") for path in ("/", "/a", "/b")}
    edge = ServiceEdge(stack, "Edge", domains=DOMAINS, services=services)
    found = path_rules(stack)
    assert found.keys() == {"/a/*", "/b/*"}
    assert {
        rule["route_action"]["url_rewrite"]["path_prefix_rewrite"] for rule in found.values()
    } == {"/"}
    assert len({rule["service"] for rule in found.values()}) == 2
    assert edge.backends.keys() == services.keys()
    groups = resources(synthesize(stack), "google_compute_region_network_endpoint_group")
    assert len({one["cloud_run"]["service"] for one in groups}) == 3


def test_whoever_comes_through_the_proxy_is_named(stack: Any, model: InferenceModel) -> None:
    make(stack, model, iap_members=["group:a@example.org", "user:b@example.org"])
    document = synthesize(stack)
    (backend,) = resources(document, "google_compute_backend_service")
    assert backend["iap"] == {"enabled": True}
    passing = resources(document, "google_iap_web_backend_service_iam_member")
    assert {one["member"] for one in passing} == {"group:a@example.org", "user:b@example.org"}
    (invoker,) = resources(document, "google_cloud_run_v2_service_iam_member")
    assert "gcp-sa-iap.iam.gserviceaccount.com" in invoker["member"]


def test_nobody_may_call_a_service_because_of_the_load_balancer(
    stack: Any, model: InferenceModel
) -> None:
    make(stack, model)
    document = synthesize(stack)
    assert resources(document, "google_cloud_run_v2_service_iam_member") == []
    (backend,) = resources(document, "google_compute_backend_service")
    assert backend["iap"] == {"enabled": False}


def test_precomputed_answers_are_cached_and_stay_private(stack: Any, model: InferenceModel) -> None:
    predictions = PrecomputedPredictions.signed("gs://batches/run/results/", key=KEY)
    make(stack, model, precomputed={"/precomputed": predictions})
    document = synthesize(stack)
    (bucket,) = resources(document, "google_compute_backend_bucket")
    assert bucket["cdn_policy"]["cache_mode"] == "FORCE_CACHE_ALL"
    assert bucket["cdn_policy"]["default_ttl"] == 3600
    assert "cache_key_policy" not in bucket["cdn_policy"]
    rewrite = path_rules(stack)["/precomputed/*"]["route_action"]["url_rewrite"]
    assert rewrite["path_prefix_rewrite"] == "/run/results/"
    (reader,) = resources(document, "google_storage_bucket_iam_member")
    assert reader["member"].endswith("@cloud-cdn-fill.iam.gserviceaccount.com")
    assert len(reader["depends_on"]) == 1


def test_the_cache_tells_apart_what_it_is_told_to(stack: Any, model: InferenceModel) -> None:
    predictions = PrecomputedPredictions.public("gs://batches/", cache_key_parameters=("v",))
    make(stack, model, precomputed={"/precomputed": predictions})
    bucket = only_resource(stack, "google_compute_backend_bucket")
    assert bucket["cdn_policy"]["cache_key_policy"] == {"query_string_whitelist": ["v"]}
    assert only_resource(stack, "google_storage_bucket_iam_member")["member"] == "allUsers"


def test_a_service_that_is_reached_otherwise_is_refused(stack: Any, model: InferenceModel) -> None:
    services = {
        "/": new_service(stack, model, "Open", Ingress.ALL),
        "/closed": new_service(stack, model, "Closed", Ingress.INTERNAL),
    }
    found = refusals(ServiceEdge, stack, domains=DOMAINS, services=services)
    assert [problem.partition(";")[0] for problem in found] == [
        "Stack/Open has ingress ALL",
        "Stack/Closed has ingress INTERNAL",
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"domains": []}, "domains has 0; a certificate is for 1 to 100"),
        ({"domains": [f"d{i}.example.org" for i in range(101)]}, "domains has 101"),
        ({"domains": ["*.example.org"]}, "domains has '*.example.org'"),
        ({"domains": ["https://example.org"]}, "domains has 'https://example.org'"),
        ({"services": {}}, "services has none; '/' gets what no other path does"),
        (
            {"precomputed": {"/a/": PrecomputedPredictions.public("gs://b/")}},
            "the path is '/a/'; it starts with a /",
        ),
        (
            {"precomputed": {"/a": PrecomputedPredictions.public("gs://b/file")}},
            "precomputed is in 'gs://b/file'",
        ),
        (
            {"precomputed": {"/a": PrecomputedPredictions.public("gs://b/", max_age=timedelta(0))}},
            "max_age is 0 seconds; Cloud CDN allows 1 to 31622400",
        ),
        (
            {"precomputed": {"/a": PrecomputedPredictions.signed("gs://b/", key="secret")}},
            "the key that signs URLs is none; it is 16 bytes as URL-safe base64",
        ),
        (
            {"protection": EdgeProtection(rate_limit=RateLimit(0))},
            "the rate limit is 0 requests",
        ),
        (
            {"protection": EdgeProtection(rate_limit=RateLimit(seconds=45))},
            "the rate limit counts in intervals of 45 seconds; Cloud Armor has 10, 30, 60",
        ),
        (
            {"protection": EdgeProtection(waf_rules=(WafRule.SQL_INJECTION,) * 2)},
            "waf_rules has a rule set twice",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(
    stack: Any, model: InferenceModel, options: dict[str, Any], problem: str
) -> None:
    given = {"domains": DOMAINS, "services": {"/": new_service(stack, model)}, **options}
    (found,) = refusals(ServiceEdge, stack, **given)
    assert found.startswith(problem)


def test_paths_that_would_have_one_id_are_refused(stack: Any, model: InferenceModel) -> None:
    service = new_service(stack, model)
    services = dict.fromkeys(("/", "/a-b", "/a/b"), service)
    found = refusals(ServiceEdge, stack, domains=DOMAINS, services=services)
    assert len(found) == 2


def test_what_only_the_deployment_knows_is_not_checked(
    bindings: Bindings, stack: Any, model: InferenceModel
) -> None:
    core = bindings.core
    text = core.TerraformVariable(stack, "Text", type="string").string_value
    number = core.TerraformVariable(stack, "Number", type="number").number_value
    predictions = PrecomputedPredictions.signed(f"gs://{text}/run/", key=text)
    make(
        stack,
        model,
        precomputed={"/precomputed": predictions},
        protection=EdgeProtection(rate_limit=RateLimit(number, number)),
    )
    assert only_resource(stack, "google_compute_backend_bucket")["bucket_name"] == "${var.Text}"
    rewrite = path_rules(stack)["/precomputed/*"]["route_action"]["url_rewrite"]
    assert rewrite["path_prefix_rewrite"] == "/run/"


def test_the_reference_stack_shares_requests_between_revisions() -> None:
    stack = CloudRunEdgeStack(
        Bindings.CDKTN.core.Testing.app(), "Edge", stable_revision="digits-00007-abc"
    )
    shares = [
        [(share["percent"], share.get("revision")) for share in service.get("traffic", [])]
        for service in resources(synthesize(stack), "google_cloud_run_v2_service")
    ]
    assert sorted(shares) == [[], [(90, "digits-00007-abc"), (10, None)]]


def test_construct_ids_are_public(stack: Any, model: InferenceModel) -> None:
    predictions = PrecomputedPredictions.public("gs://b/")
    edge = make(stack, model, precomputed={"/examples/v1": predictions})
    assert construct_ids(edge) == [
        "Protection",
        "Project",
        "Backend",
        "PrecomputedExamplesV1",
        "Paths",
        "Address",
        "Certificate",
        "Tls",
        "Https",
        "Rule",
        "Redirect",
        "Ip",
    ]
