"""How a batch is divided into tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cdk_inference.gcp.tokens import are_known
from cdk_inference.limits import (
    CLOUD_RUN_GPU_TASK_TIMEOUT,
    CLOUD_RUN_TASK_RETRIES,
    CLOUD_RUN_TASK_TIMEOUT,
    CLOUD_RUN_TASKS,
)

if TYPE_CHECKING:
    from cdk_inference.gcp.bindings import Bindings
    from cdk_inference.gcp.gpu import Gpu
    from cdk_inference.validation import Problems


@dataclass(frozen=True)
class BatchTasks:
    """How many tasks share the inputs of a job, and for how long.

    Attributes:
        count: 1 to 10,000; best a tenth of the inputs or fewer, which are shared by their names.
            Default: 1.
        parallelism: how many run at the same time. Default: all; with a GPU one, since a new
            project has a quota of few GPUs.
        timeout: of a task, in whole seconds, up to 7 days; up to an hour with a GPU. Default: an
            hour.
        retries: how often a task that failed or took too long is tried again, 0 to 10. It goes on
            where it stopped. Default: 3.

    Example:
        >>> BatchTasks(20, parallelism=5, timeout=timedelta(hours=6))
    """

    count: int = 1
    parallelism: int | None = None
    timeout: timedelta = timedelta(hours=1)
    retries: int = 3

    def parallelism_with(self, gpu: Gpu | None) -> int:
        """How many run at the same time, on instances with ``gpu`` or without."""
        if self.parallelism is not None:
            return self.parallelism
        return self.count if gpu is None else 1

    def check(self, bindings: Bindings, gpu: Gpu | None, problems: Problems) -> None:
        """Record what Cloud Run does not allow."""
        parallelism = self.parallelism_with(gpu)
        if are_known(bindings, self.count):
            problems.check_within("tasks.count", self.count, CLOUD_RUN_TASKS)
        if are_known(bindings, self.retries):
            problems.check_within("tasks.retries", self.retries, CLOUD_RUN_TASK_RETRIES)
        limit = CLOUD_RUN_TASK_TIMEOUT if gpu is None else CLOUD_RUN_GPU_TASK_TIMEOUT
        problems.check_within("tasks.timeout", self.timeout.total_seconds(), limit)
        if are_known(bindings, parallelism, self.count) and not 1 <= parallelism <= self.count:
            problems.add(
                f"tasks.parallelism is {self.parallelism} of {self.count}",
                allowed="1 task or more runs at the same time, and no more than there are",
                remedy="change it, or leave it out",
            )
