"""Answers in a DynamoDB table, shared by all instances. Needs boto3, which Lambda's Python has.

The table's partition key is the string ``key``; switch its time to live on for ``expires``.
"""

from __future__ import annotations

import time

from inference_runtime.errors import InvalidSettings

try:
    import boto3
    from botocore.config import Config
except ImportError:
    raise InvalidSettings(
        "INFERENCE_RESPONSE_CACHE is a dynamodb URL, but boto3 is not installed; install"
        " inference-runtime[aws]"
    ) from None

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
LARGEST_ITEM_BYTES = 400 * 1024
_ROOM_FOR_NAMES_BYTES = 1024
_TIMEOUT_SECONDS = 0.5


class DynamoDbStore:
    """Answers as items of a table; one that is larger than an item may be is not kept.

    Args:
        table: its name.
        seconds: that an answer is kept.
    """

    def __init__(self, table: str, seconds: int) -> None:
        self._table = table
        self._seconds = seconds
        self._client = boto3.client(
            "dynamodb",
            config=Config(
                connect_timeout=_TIMEOUT_SECONDS,
                read_timeout=_TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1},
            ),
        )

    def get(self, key: str) -> bytes | None:
        """The answer, if it is still there: expired items may linger for days."""
        item = self._client.get_item(TableName=self._table, Key={"key": {"S": key}}).get("Item")
        if item is None or float(item["expires"]["N"]) <= time.time():
            return None
        answer: bytes = item["answer"]["B"]
        return answer

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer."""
        if len(answer) > LARGEST_ITEM_BYTES - _ROOM_FOR_NAMES_BYTES:
            return
        item = {
            "key": {"S": key},
            "answer": {"B": answer},
            "expires": {"N": str(int(time.time()) + self._seconds)},
        }
        self._client.put_item(TableName=self._table, Item=item)
