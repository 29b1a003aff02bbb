"""`python -m analogjax`: the `analogjax` command."""

import sys

from analogjax.cli import main

sys.exit(main())
