"""Django as the control plane sets it up, for a benchmark that imports this first."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "control_plane.settings")
os.environ.setdefault("GATEHOUSE_SECRET_KEY", "x" * 60)
django.setup()
