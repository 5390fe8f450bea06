"""Run benchmarks, and write docs/benchmarks.md from what they and earlier runs measured.

``python -m bench`` runs all, ``python -m bench serving overhead`` those two.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from bench import report

NAMES = (
    "cold_start",
    "http_start",
    "loading",
    "threads",
    "fetch",
    "lambda_runtime",
    "serving",
    "overhead",
    "growth",
    "memory",
    "synth",
    "imports",
    "imports_gcp",
    "servers",
)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="as little as shows that it works; nothing is kept"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    options = parser.parse_args()
    names = options.names or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; there is {', '.join(NAMES)}")
    for name in names:
        benchmark = import_module(f"bench.{name}")
        if options.short:
            vars(benchmark).update(getattr(benchmark, "SHORT", {"ROUNDS": 1}))
            print(report.markdown(name, benchmark.measure()))
        else:
            report.keep(name, benchmark.measure())


if __name__ == "__main__":
    main()
