"""The command line: ``inference-runtime``, one module for each sub-command."""
