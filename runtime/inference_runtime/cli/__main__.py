"""``python -m inference_runtime.cli``."""

import sys

from inference_runtime.cli.main import main

sys.exit(main())
