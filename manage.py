"""Django's command line, for the control plane only."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "control_plane.settings")
    from django.conf import settings
    from django.core.management import execute_from_command_line

    from shared.logs import configure

    configure(settings.LOG_LEVEL)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
