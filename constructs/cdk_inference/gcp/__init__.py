"""Constructs for Google Cloud, as Terraform through CDKTF or CDK Terrain.

Needs the extra ``cdktn`` or ``gcp``. Each name is loaded when it is first used.

Example:
    >>> from cdk_inference.gcp import CloudRunGpuService, Gpu
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Before anything imports a provider, this one included: it keeps that import short.
import cdk_inference.gcp.bindings  # noqa: F401

if TYPE_CHECKING:
    from cdk_inference.gcp.batch_tasks import BatchTasks
    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.gcp.cloud_function_service import CloudFunctionService
    from cdk_inference.gcp.cloud_run_batch_job import CloudRunBatchJob
    from cdk_inference.gcp.cloud_run_gpu_service import CloudRunGpuService
    from cdk_inference.gcp.cloud_run_service import CloudRunService
    from cdk_inference.gcp.edge_protection import EdgeProtection, RateLimit, WafRule
    from cdk_inference.gcp.gpu import Gpu, TensorRt
    from cdk_inference.gcp.mail_channels import MailChannels
    from cdk_inference.gcp.model_bucket import ModelBucket
    from cdk_inference.gcp.model_source import ModelSource
    from cdk_inference.gcp.network import Egress, Ingress, VpcAccess
    from cdk_inference.gcp.nginx_sidecar import NginxSidecar, TlsToRuntime
    from cdk_inference.gcp.precomputed_predictions import PrecomputedPredictions
    from cdk_inference.gcp.runtime_image_repository import RuntimeImageRepository
    from cdk_inference.gcp.secret import Secret
    from cdk_inference.gcp.service_alert import AlertOn, ServiceAlert
    from cdk_inference.gcp.service_budget import ServiceBudget
    from cdk_inference.gcp.service_edge import ServiceEdge
    from cdk_inference.gcp.service_monitoring import ServiceMonitoring
    from cdk_inference.gcp.service_objective import ServiceObjective
    from cdk_inference.gcp.startup_probe import StartupProbe
    from cdk_inference.gcp.traffic import TrafficShare
    from cdk_inference.gcp.volume import Medium
    from cdk_inference.gcp.watched_service import WatchedService

__all__ = [
    "AlertOn",
    "BatchTasks",
    "Bindings",
    "CloudFunctionService",
    "CloudRunBatchJob",
    "CloudRunGpuService",
    "CloudRunService",
    "EdgeProtection",
    "Egress",
    "Gpu",
    "Ingress",
    "MailChannels",
    "Medium",
    "ModelBucket",
    "ModelSource",
    "NginxSidecar",
    "PrecomputedPredictions",
    "RateLimit",
    "RuntimeImageRepository",
    "Secret",
    "ServiceAlert",
    "ServiceBudget",
    "ServiceEdge",
    "ServiceMonitoring",
    "ServiceObjective",
    "StartupProbe",
    "TensorRt",
    "TlsToRuntime",
    "TrafficShare",
    "VpcAccess",
    "WafRule",
    "WatchedService",
]

_HOMES = {
    "AlertOn": "service_alert",
    "BatchTasks": "batch_tasks",
    "Bindings": "bindings",
    "CloudFunctionService": "cloud_function_service",
    "CloudRunBatchJob": "cloud_run_batch_job",
    "CloudRunGpuService": "cloud_run_gpu_service",
    "CloudRunService": "cloud_run_service",
    "EdgeProtection": "edge_protection",
    "Egress": "network",
    "Gpu": "gpu",
    "Ingress": "network",
    "MailChannels": "mail_channels",
    "Medium": "volume",
    "ModelBucket": "model_bucket",
    "ModelSource": "model_source",
    "NginxSidecar": "nginx_sidecar",
    "PrecomputedPredictions": "precomputed_predictions",
    "RateLimit": "edge_protection",
    "RuntimeImageRepository": "runtime_image_repository",
    "Secret": "secret",
    "ServiceAlert": "service_alert",
    "ServiceBudget": "service_budget",
    "ServiceEdge": "service_edge",
    "ServiceMonitoring": "service_monitoring",
    "ServiceObjective": "service_objective",
    "StartupProbe": "startup_probe",
    "TensorRt": "gpu",
    "TlsToRuntime": "nginx_sidecar",
    "TrafficShare": "traffic",
    "VpcAccess": "network",
    "WafRule": "edge_protection",
    "WatchedService": "watched_service",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
