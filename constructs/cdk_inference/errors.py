"""What can go wrong while artifacts are built."""

from __future__ import annotations


class PackagingError(RuntimeError):
    """The runtime and a model could not be packaged; the message says why and what to do.

    Example:
        >>> try:
        ...     app.synth()
        ... except PackagingError as error:
        ...     sys.exit(f"no artifact: {error}")
    """
