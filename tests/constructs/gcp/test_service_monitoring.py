from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from cdk_inference import ConfigurationError, InferenceModel
from cdk_inference.gcp import (
    AlertOn,
    Bindings,
    CloudRunGpuService,
    CloudRunService,
    MailChannels,
    ServiceAlert,
    ServiceMonitoring,
    ServiceObjective,
    WatchedService,
)
from cdk_inference.gcp.time_series import By, Metric, TimeSeries
from hypothesis import given
from hypothesis import strategies as st
from inference_runtime import serving
from inference_runtime.messages import Request
from inference_runtime.settings import Settings
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

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
from tests.constructs.onnx_models import save, scale_model

DIGITS = WatchedService("digits", REGION)
ALERT = "google_monitoring_alert_policy"


def watch(stack: Any, service: Any = DIGITS, **options: Any) -> ServiceMonitoring:
    return ServiceMonitoring(stack, "Monitoring", service=service, **options)


def new_service(stack: Any, model: InferenceModel, **options: Any) -> CloudRunService:
    given: dict[str, Any] = {"model": model, "image": IMAGE, "region": REGION, **options}
    return CloudRunService(stack, "Scale", **given)


def thresholds(stack: Any) -> dict[str, dict[str, Any]]:
    """What each alert waits for, by its name after the service's."""
    return {
        policy["display_name"].partition(": ")[2]: policy["conditions"][0]["condition_threshold"]
        for policy in resources(synthesize(stack), ALERT)
    }


def charts(stack: Any) -> dict[str, dict[str, Any]]:
    content = json.loads(only_resource(stack, "google_monitoring_dashboard")["dashboard_json"])
    tiles = content["mosaicLayout"]["tiles"]
    return {tile["widget"]["title"]: tile["widget"]["xyChart"] for tile in tiles}


def test_minimal_document(snapshot: SnapshotAssertion) -> None:
    document = same_on_both(watch)
    assert document == snapshot(extension_class=JSONSnapshotExtension)


def test_maximal_document(model: InferenceModel, snapshot: SnapshotAssertion) -> None:
    def make_maximal(stack: Any) -> None:
        service = CloudRunGpuService(
            stack, "Scale", model=model, image=IMAGE, region=REGION, max_instances=4
        )
        channels = MailChannels(stack, "OnCall", emails=["oncall@example.com"])
        alerts = {on.name.title(): ServiceAlert(on, 50) for on in AlertOn}
        watch(
            stack,
            service,
            channels=channels.names,
            alerts=alerts,
            objectives={
                "Availability": ServiceObjective(99.9),
                "Fast": ServiceObjective(95, within=timedelta(milliseconds=200), days=7),
            },
        )

    assert same_on_both(make_maximal) == snapshot(extension_class=JSONSnapshotExtension)


# Alerts


def test_a_service_of_this_app_tells_what_its_alerts_take_shares_of(
    stack: Any, model: InferenceModel
) -> None:
    service = new_service(stack, model, timeout=timedelta(seconds=10), max_instances=20)
    monitoring = watch(stack, service)
    assert list(monitoring.alerts) == ["Errors", "Latency", "Instances", "Startup"]
    found = thresholds(stack)
    values = {name: one["threshold_value"] for name, one in found.items()}
    startup = service.startup_probe.seconds * 1000 * 0.8
    assert values == {
        "Errors": 0.01,
        "Latency": 8000,
        "Instances": 16,
        "Startup": pytest.approx(startup),
        "Availability is at risk": 10,
    }
    name = re.escape('resource.label.service_name = "${google_cloud_run_v2_service.')
    assert all(re.search(name, one["filter"]) for one in list(found.values())[:4])


def test_what_only_the_deployment_knows_is_no_share_of_anything(
    bindings: Bindings, stack: Any, model: InferenceModel
) -> None:
    most = bindings.core.TerraformVariable(stack, "Most", type="number").number_value
    monitoring = watch(stack, new_service(stack, model, max_instances=most))
    assert "Instances" not in monitoring.alerts


def test_of_a_service_by_name_only_what_is_known_is_watched(stack: Any) -> None:
    assert list(watch(stack).alerts) == ["Errors"]


def test_more_is_known_where_it_is_told(stack: Any) -> None:
    told = WatchedService(
        "digits",
        REGION,
        timeout=timedelta(minutes=1),
        max_instances=3,
        startup=timedelta(minutes=2),
        has_gpu=True,
    )
    monitoring = watch(stack, told)
    assert list(monitoring.alerts) == ["Errors", "Latency", "Instances", "Startup", "GpuMemory"]


def test_errors_are_a_share_of_the_requests(stack: Any) -> None:
    watch(stack)
    errors = thresholds(stack)["Errors"]
    whole = errors["denominator_filter"]
    assert errors["filter"] == f'{whole} AND metric.label.response_code_class = "5xx"'
    (one,), (other,) = errors["aggregations"], errors["denominator_aggregations"]
    assert one == other
    assert (one["alignment_period"], errors["duration"]) == ("300s", "0s")


def test_an_instance_that_was_active_and_then_idle_counts_once(stack: Any) -> None:
    watch(stack, WatchedService("digits", REGION, max_instances=10))
    (how,) = thresholds(stack)["Instances"]["aggregations"]
    assert how["per_series_aligner"] == "ALIGN_MEAN"
    assert how["cross_series_reducer"] == "REDUCE_SUM"


def test_each_alert_may_be_left_out_changed_or_added(stack: Any) -> None:
    monitoring = watch(
        stack,
        alerts={
            "Errors": None,
            "Flood": ServiceAlert(AlertOn.REQUESTS, 100, window=timedelta(minutes=1)),
            "Bill": ServiceAlert(AlertOn.BILLABLE_TIME, 2.5),
        },
        objectives={},
    )
    assert list(monitoring.alerts) == ["Flood", "Bill"]
    values = {name: one["threshold_value"] for name, one in thresholds(stack).items()}
    assert values == {"Flood": 100, "Bill": 2.5}
    (period,) = thresholds(stack)["Flood"]["aggregations"]
    assert period["alignment_period"] == "60s"


@pytest.mark.parametrize("on", AlertOn)
def test_every_alert_says_what_it_watches(stack: Any, on: AlertOn) -> None:
    known = WatchedService(
        "digits", REGION, timedelta(minutes=1), 3, timedelta(minutes=2), has_gpu=True
    )
    watch(stack, known, alerts={"Mine": ServiceAlert(on, 50)}, objectives={})
    (policy,) = (
        one for one in resources(synthesize(stack), ALERT) if one["display_name"] == "digits: Mine"
    )
    assert re.match(r"For 5 minutes, .*50.*\.$", policy["documentation"]["content"])


def test_somebody_is_told(stack: Any) -> None:
    channels = MailChannels(stack, "OnCall", emails=["a@example.com", "b@example.com"])
    watch(stack, channels=channels.names)
    for policy in resources(synthesize(stack), ALERT):
        assert len(policy["notification_channels"]) == 2
    mails = resources(synthesize(stack), "google_monitoring_notification_channel")
    assert [one["labels"]["email_address"] for one in mails] == ["a@example.com", "b@example.com"]


# The dashboard


def test_the_dashboard_compares_revisions_and_model_versions(stack: Any) -> None:
    watch(stack)

    def by(title: str) -> list[list[str]]:
        return [
            one["timeSeriesQuery"]["timeSeriesFilter"]["aggregation"]["groupByFields"]
            for one in charts(stack)[title]["dataSets"]
        ]

    assert by("Requests by revision, 1/s") == [["resource.label.revision_name"]]
    assert by("Latency by revision, p99, ms") == [["resource.label.revision_name"]]
    assert by("Billable time by revision, s/s") == [["resource.label.revision_name"]]
    assert (
        by("Run of the model by version, p50 and p99, ms") == [["metric.label.model_version"]] * 2
    )
    assert by("Latency, p50, p95 and p99, ms") == [[]] * 3


def test_limits_are_shown_where_they_are_known(stack: Any, model: InferenceModel) -> None:
    watch(stack, new_service(stack, model, timeout=timedelta(seconds=10), max_instances=20))
    assert charts(stack)["Latency, p50, p95 and p99, ms"]["thresholds"] == [{"value": 10_000}]
    assert charts(stack)["Instances by state"]["thresholds"] == [{"value": 20}]
    assert not any("GPU" in title for title in charts(stack))


def test_a_gpu_is_shown(stack: Any) -> None:
    watch(stack, WatchedService("digits", REGION, has_gpu=True))
    chart = charts(stack)["GPU and its memory in use, p95"]
    filters = [one["timeSeriesQuery"]["timeSeriesFilter"]["filter"] for one in chart["dataSets"]]
    assert [filter.split('"')[1] for filter in filters] == [Metric.GPU, Metric.GPU_MEMORY]


def test_no_two_charts_share_a_place(stack: Any) -> None:
    watch(stack)
    content = json.loads(only_resource(stack, "google_monitoring_dashboard")["dashboard_json"])
    layout = content["mosaicLayout"]
    places = {(tile["xPos"], tile["yPos"]) for tile in layout["tiles"]}
    assert len(places) == len(layout["tiles"])
    assert all(tile["xPos"] + tile["width"] <= layout["columns"] for tile in layout["tiles"])


@given(
    st.sampled_from(Metric),
    st.sampled_from([None, *By]),
    st.integers(60, 86_400),
)
def test_dashboards_and_alerts_ask_for_the_same(
    metric: Metric, by: By | None, seconds: int
) -> None:
    series = TimeSeries.percentile(metric, 99, by)
    shown = series.shown(DIGITS, seconds)
    assert shown["filter"] == series.filter(DIGITS)
    module = Bindings.CDKTN.google("monitoring_alert_policy")
    block = series.aggregation(module, seconds)
    assert block.alignment_period == shown["aggregation"]["alignmentPeriod"]
    assert block.group_by_fields == shown["aggregation"]["groupByFields"]


# The log


def logged(model: InferenceModel, path: str, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """The lines of the runtime after a start, a prediction and a mistake."""
    plane = serving.start(Settings.read({"MODEL_URI": path, "MODEL_NAME": model.name}))
    for body in (b'{"features": [1, 2, 3, 4]}', b'{"features": [1]}'):
        plane.handle(Request("POST", "/predict", {}, body, "id"))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def selects(filter: str, line: dict[str, Any]) -> bool:
    """Whether Cloud Logging would count a line: comparisons and ``:*``, joined by AND."""
    for condition in filter.split(" AND "):
        if not condition.startswith("jsonPayload."):
            continue
        field, operator, value = re.fullmatch(
            r"jsonPayload\.(\w+)\s*(:|=)\s*(.+)", condition
        ).groups()  # type: ignore[union-attr]
        if field not in line or (operator == "=" and line[field] != json.loads(value)):
            return False
    return True


def test_the_metrics_count_what_the_runtime_logs(
    stack: Any, model: InferenceModel, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(stack)
    lines = logged(model, str(save(scale_model(), tmp_path / "scale.onnx")), capsys)
    metrics = {
        one["name"].rpartition("/")[2]: one
        for one in resources(synthesize(stack), "google_logging_metric")
    }
    counted = {
        name: [line for line in lines if selects(one["filter"], line)]
        for name, one in metrics.items()
    }
    assert {name: len(found) for name, found in counted.items()} == {
        "ColdStarts": 1,
        "Errors": 1,
        "RunTime": 1,
    }
    for name, (line,) in counted.items():
        for extractor in metrics[name]["label_extractors"].values():
            assert re.fullmatch(r"EXTRACT\(jsonPayload\.(\w+)\)", extractor)[1] in line  # type: ignore[index]
    assert metrics["RunTime"]["value_extractor"] == "EXTRACT(jsonPayload.run_ms)"
    assert metrics["RunTime"]["metric_descriptor"]["value_type"] == "DISTRIBUTION"
    keys = [one["key"] for one in metrics["ColdStarts"]["metric_descriptor"]["labels"]]
    assert keys == list(metrics["ColdStarts"]["label_extractors"])


# Objectives


def test_an_objective_is_of_the_service_and_its_burn_is_told(stack: Any) -> None:
    monitoring = watch(stack, objectives={"Available": ServiceObjective(99.9, days=14)})
    slo = only_resource(stack, "google_monitoring_slo")
    assert (slo["goal"], slo["rolling_period_days"]) == (0.999, 14)
    assert slo["basic_sli"] == {"availability": {"enabled": True}}
    service = only_resource(stack, "google_monitoring_service")["basic_service"]
    labels = {"service_name": "digits", "location": REGION}
    assert service == {"service_type": "CLOUD_RUN", "service_labels": labels}
    burn = thresholds(stack)["Available is at risk"]
    assert burn["filter"].startswith('select_slo_burn_rate("${google_monitoring_slo.')
    assert list(monitoring.objectives) == ["Available"]


def test_a_good_request_may_have_to_be_fast(stack: Any) -> None:
    within = timedelta(milliseconds=250)
    watch(stack, objectives={"Fast": ServiceObjective(95, within=within)})
    slo = only_resource(stack, "google_monitoring_slo")
    assert slo["basic_sli"] == {"latency": {"threshold": "0.25s"}}
    assert slo["display_name"] == "Fast: 95 % within 0.25 s over 28 days"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"alerts": {"Slow": ServiceAlert(AlertOn.LATENCY, 50)}},
            "alert 'Slow' is on LATENCY; that needs the service's timeout, which is not known here",
        ),
        ({"alerts": {"A": ServiceAlert(AlertOn.INSTANCES, 50)}}, "alert 'A' is on INSTANCES"),
        ({"alerts": {"A": ServiceAlert(AlertOn.STARTUP, 50)}}, "alert 'A' is on STARTUP"),
        ({"alerts": {"A": ServiceAlert(AlertOn.GPU_MEMORY, 50)}}, "alert 'A' is on GPU_MEMORY"),
        ({"alerts": {"A": ServiceAlert(AlertOn.ERRORS, 100)}}, "alert 'A' has the threshold 100"),
        ({"alerts": {"A": ServiceAlert(AlertOn.REQUESTS, -1)}}, "alert 'A' has the threshold -1"),
        (
            {"alerts": {"A": ServiceAlert(AlertOn.ERRORS, 1, timedelta(seconds=90))}},
            "the window of alert 'A' is 1.5 minutes; Cloud Monitoring allows 1 to 1440",
        ),
        ({"objectives": {"A": ServiceObjective(100)}}, "objective 'A' is 100 percent"),
        ({"objectives": {"A": ServiceObjective(days=31)}}, "days of objective 'A' is 31 days"),
        (
            {"objectives": {"A": ServiceObjective(within=timedelta(0))}},
            "objective 'A' is within 0 seconds",
        ),
        (
            {"objectives": {"A": ServiceObjective(fastest_burn=0)}},
            "objective 'A' has fastest_burn 0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused(stack: Any, options: dict[str, Any], problem: str) -> None:
    (found,) = refusals(ServiceMonitoring, stack, service=DIGITS, **options)
    assert found.startswith(problem)


def test_what_is_no_mail_address_is_refused(stack: Any) -> None:
    with pytest.raises(ConfigurationError, match="'oncall' is in emails"):
        MailChannels(stack, "OnCall", emails=["oncall"])


def test_construct_ids_are_public(stack: Any) -> None:
    assert construct_ids(watch(stack)) == [
        "LogMetrics",
        "Dashboard",
        "Alerts",
        "Objectives",
        "Service",
        "Burns",
    ]
