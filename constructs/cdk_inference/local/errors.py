"""The one error of `cdk_inference.local`."""


class LocalError(Exception):
    """A local deployment cannot go on; the message says why and what to do, in one sentence or two.

    Raised by everything in `cdk_inference.local`: the emulator does not start, a port is taken,
    the CDK CLI fails, a target to invoke is unknown. The command line prints the message and ends
    with exit code 1.

    Example:
        >>> try:
        ...     emulator = recorded(WORK_FOLDER)
        ... except LocalError as error:
        ...     sys.exit(str(error))
    """
