"""`python -m control_plane.edge`: run the edge until SIGTERM."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "control_plane.settings")
django.setup()

from control_plane.edge.server import run  # noqa: E402 -- models can be imported only after django.setup()

if __name__ == "__main__":
    run()
