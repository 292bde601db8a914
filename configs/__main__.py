"""``python -m configs``: the reference of every setting on standard output."""

import sys

from configs.reference import render_reference

sys.stdout.write(render_reference())
