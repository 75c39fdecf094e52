"""The gateway's command line: `serve`, `worker` (started by `serve`), `catalog`, `check-config FILE`.

Each process imports what it runs and no more: a gateway has several, and callers wait while they start.
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from data_plane import settings
from shared import logs

USAGE = "usage: python -m data_plane serve | catalog | check-config FILE"


def print_catalog() -> None:
    """Print what the control plane needs to know of the providers, as JSON.

    `operations` are those that a custom provider may have, with their usual paths; `usual` those that it has by itself.
    """
    from data_plane.providers._custom import OPERATIONS, USUAL, usual_path
    from data_plane.providers.registry import load_providers

    providers = {
        provider.id: {
            "label": provider.label,
            "base_url": provider.base_url or None,
            "hosts": provider.hosts,
            "address_setting": provider.address_setting,
            "price_source": provider.price_source or provider.id,
            "endpoints": sorted(provider.operations),
            "credential": [
                {"name": field.name, "label": field.label, "secret": field.secret, "required": field.required}
                for field in provider.credential
            ],
        }
        for provider in load_providers().values()
    }
    told = {"providers": providers, "operations": {name: usual_path(name) for name in OPERATIONS}, "usual": USUAL}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")


def check_config(path: Path) -> int:
    """Say everything that is wrong with the config in a file; return the exit code."""
    from shared.errors import InvalidConfig
    from shared.routing.compile import compile_plan
    from shared.schema.config import parse_config

    try:
        compile_plan(parse_config(msgspec.json.decode(path.read_bytes())))
    except OSError as fault:
        sys.stdout.write(f"{path} cannot be read: {fault.strerror}\n")
        return 1
    except msgspec.DecodeError as fault:
        sys.stdout.write(f"not JSON: {fault}\n")
        return 1
    except InvalidConfig as fault:
        sys.stdout.write("\n".join([fault.message, *(fault.errors or [])]) + "\n")
        return 1
    sys.stdout.write("valid\n")
    return 0


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    logs.configure(settings.LOG_LEVEL)
    match arguments:
        case ["serve"]:
            from data_plane import supervisor

            asyncio.run(supervisor.serve())
        case ["worker" | "batch-worker" as kind]:
            from data_plane import worker
            from data_plane.sync.link import LINK_FD, SOCKET_FD

            worker.main(int(os.environ[LINK_FD]), int(os.environ[SOCKET_FD]) if kind == "worker" else None)
        case ["catalog"]:
            print_catalog()
        case ["check-config", path]:
            return check_config(Path(path))
        case _:
            sys.stderr.write(USAGE + "\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
