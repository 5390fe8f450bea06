"""CDK constructs for serverless inference of ONNX models.

What AWS apps need is here; each name is loaded when it is first used, so that neither another
cloud's bindings nor the command line wait for it.

Example:
    >>> from cdk_inference import InferenceModel, MLInferenceFunction, Packaging
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdk_inference.aws.ab_routing import ABRouting
    from cdk_inference.aws.alert_topic import AlertTopic
    from cdk_inference.aws.api_auth import ApiAuth
    from cdk_inference.aws.api_domain import ApiDomain
    from cdk_inference.aws.efs_model_loader import EfsModelLoader
    from cdk_inference.aws.efs_model_store import EfsModelStore
    from cdk_inference.aws.gradual_release import GradualRelease
    from cdk_inference.aws.imported_inference_api import (
        ImportedInferenceApi,
        ImportedMultiModelApi,
    )
    from cdk_inference.aws.imported_inference_function_url import ImportedInferenceFunctionUrl
    from cdk_inference.aws.inference_alarm import AlarmOn, InferenceAlarm
    from cdk_inference.aws.inference_budget import CostTag, InferenceBudget
    from cdk_inference.aws.inference_function import InferenceFunction
    from cdk_inference.aws.inference_function_url import InferenceFunctionUrl
    from cdk_inference.aws.inference_http_api import InferenceHttpApi
    from cdk_inference.aws.inference_monitoring import InferenceMonitoring
    from cdk_inference.aws.inference_rest_api import InferenceRestApi
    from cdk_inference.aws.keep_warm import KeepWarm
    from cdk_inference.aws.ml_inference_function import MLInferenceFunction
    from cdk_inference.aws.model_cache_extension import ModelCacheExtension
    from cdk_inference.aws.model_source import ModelSource
    from cdk_inference.aws.monitored_function import FunctionFacts
    from cdk_inference.aws.multi_model_api import MultiModelApi
    from cdk_inference.aws.multi_model_rest_api import MultiModelRestApi
    from cdk_inference.aws.network import PrivateNetwork
    from cdk_inference.aws.packaging import Packaging
    from cdk_inference.aws.power_tuning import PowerTuning
    from cdk_inference.aws.provisioned_warm_pool import ProvisionedWarmPool, WarmSchedule
    from cdk_inference.aws.readiness_checks import ReadinessChecks
    from cdk_inference.aws.s3_files_model_store import S3FilesModelStore
    from cdk_inference.aws.s3_model_store import S3ModelStore
    from cdk_inference.aws.served_model import ServedModel
    from cdk_inference.aws.smoke_test import SmokeTest
    from cdk_inference.aws.telemetry import Tracing
    from cdk_inference.aws.usage_plan import UsagePlan
    from cdk_inference.aws.warm_strategy import WarmStrategy
    from cdk_inference.errors import PackagingError
    from cdk_inference.model import InferenceModel, TensorSpec
    from cdk_inference.stored_model import StoredModel
    from cdk_inference.validation import ConfigurationError

__all__ = [
    "ABRouting",
    "AlarmOn",
    "AlertTopic",
    "ApiAuth",
    "ApiDomain",
    "ConfigurationError",
    "CostTag",
    "EfsModelLoader",
    "EfsModelStore",
    "FunctionFacts",
    "GradualRelease",
    "ImportedInferenceApi",
    "ImportedInferenceFunctionUrl",
    "ImportedMultiModelApi",
    "InferenceAlarm",
    "InferenceBudget",
    "InferenceFunction",
    "InferenceFunctionUrl",
    "InferenceHttpApi",
    "InferenceModel",
    "InferenceMonitoring",
    "InferenceRestApi",
    "KeepWarm",
    "MLInferenceFunction",
    "ModelCacheExtension",
    "ModelSource",
    "MultiModelApi",
    "MultiModelRestApi",
    "Packaging",
    "PackagingError",
    "PowerTuning",
    "PrivateNetwork",
    "ProvisionedWarmPool",
    "ReadinessChecks",
    "S3FilesModelStore",
    "S3ModelStore",
    "ServedModel",
    "SmokeTest",
    "StoredModel",
    "TensorSpec",
    "Tracing",
    "UsagePlan",
    "WarmSchedule",
    "WarmStrategy",
]

_HOMES = {
    "ABRouting": "aws.ab_routing",
    "AlarmOn": "aws.inference_alarm",
    "AlertTopic": "aws.alert_topic",
    "ApiAuth": "aws.api_auth",
    "ApiDomain": "aws.api_domain",
    "ConfigurationError": "validation",
    "CostTag": "aws.inference_budget",
    "EfsModelLoader": "aws.efs_model_loader",
    "EfsModelStore": "aws.efs_model_store",
    "FunctionFacts": "aws.monitored_function",
    "GradualRelease": "aws.gradual_release",
    "ImportedInferenceApi": "aws.imported_inference_api",
    "ImportedInferenceFunctionUrl": "aws.imported_inference_function_url",
    "ImportedMultiModelApi": "aws.imported_inference_api",
    "InferenceAlarm": "aws.inference_alarm",
    "InferenceBudget": "aws.inference_budget",
    "InferenceFunction": "aws.inference_function",
    "InferenceFunctionUrl": "aws.inference_function_url",
    "InferenceHttpApi": "aws.inference_http_api",
    "InferenceModel": "model",
    "InferenceMonitoring": "aws.inference_monitoring",
    "InferenceRestApi": "aws.inference_rest_api",
    "KeepWarm": "aws.keep_warm",
    "MLInferenceFunction": "aws.ml_inference_function",
    "ModelCacheExtension": "aws.model_cache_extension",
    "ModelSource": "aws.model_source",
    "MultiModelApi": "aws.multi_model_api",
    "MultiModelRestApi": "aws.multi_model_rest_api",
    "Packaging": "aws.packaging",
    "PackagingError": "errors",
    "PowerTuning": "aws.power_tuning",
    "PrivateNetwork": "aws.network",
    "ProvisionedWarmPool": "aws.provisioned_warm_pool",
    "ReadinessChecks": "aws.readiness_checks",
    "S3FilesModelStore": "aws.s3_files_model_store",
    "S3ModelStore": "aws.s3_model_store",
    "ServedModel": "aws.served_model",
    "SmokeTest": "aws.smoke_test",
    "StoredModel": "stored_model",
    "TensorSpec": "model",
    "Tracing": "aws.telemetry",
    "UsagePlan": "aws.usage_plan",
    "WarmSchedule": "aws.provisioned_warm_pool",
    "WarmStrategy": "aws.warm_strategy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
