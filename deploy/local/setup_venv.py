"""`make setup`: how does a bare machine get the locked dependencies?

Runs on the system's Python with its standard library only, and parses on old ones, so that they get a sentence
instead of a syntax error.  A stamp remembers which lock file was installed, which makes the second run quick.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

LEAST = (3, 11)
ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "deploy" / "requirements" / "dev.txt"
VENV = ROOT / ".venv"
STAMP = VENV / "installed-lock"
PYTHON = VENV / "bin" / "python"
_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


def fail(sentence: str) -> None:
    """End with one sentence."""
    sys.exit("make setup: " + sentence)


def run(*command: str) -> bool:
    """Run a command and return whether it succeeded; its output is the user's."""
    return subprocess.call(command, stdin=subprocess.DEVNULL) == 0  # noqa: S603 - the commands are in this file


def find_python() -> str:
    """Return a Python that is new enough: this one, or a newer one on PATH."""
    if sys.version_info >= LEAST:
        return sys.executable
    for minor in ("13", "12", "11"):
        found = shutil.which("python3." + minor)
        if found:
            return found
    version = ".".join(str(part) for part in sys.version_info[:2])
    fail("Python 3.11 or newer is needed, and this is " + version + "; say: make PYTHON=/path/to/python3.11")
    return ""


def lock_key() -> str:
    """Return what the environment must have been made from: this lock file."""
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() + "\n"


def make_venv(python: str) -> None:
    """Create the virtual environment unless a working one of a good version is there."""
    if PYTHON.exists() and run(str(PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
        return
    print("setup: creating .venv", flush=True)
    if VENV.exists():
        shutil.rmtree(str(VENV))
    if run(python, "-c", "import ensurepip, venv") and run(python, "-m", "venv", str(VENV)):
        return
    uv = shutil.which("uv")
    if not uv or not run(uv, "venv", "--quiet", "--python", python, str(VENV)):
        fail("this Python cannot make virtual environments; install its venv package (Debian: python3-venv) or uv.")


def install() -> None:
    """Install the lock, by uv where it is (faster), else or when that fails by pip, which knows the user's index."""
    print("setup: installing the locked dependencies (once; a minute or two)", flush=True)
    uv = shutil.which("uv") or shutil.which("uv", path=str(PYTHON.parent))
    arguments = ("--quiet", "--require-hashes", "-r", str(LOCK))
    if uv and "UV_OFFLINE" not in os.environ and uv_knows_the_index():
        if run(uv, "pip", "install", "--python", str(PYTHON), *arguments):
            return
        print("setup: trying again with pip", flush=True)
    if not run(str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *arguments):
        fail("the dependencies cannot be installed; the message is above. Behind a mirror, set PIP_INDEX_URL.")


def uv_knows_the_index() -> bool:
    """Return whether uv would ask the same index as pip: it reads none of pip's configuration."""
    if any(name.startswith(("UV_INDEX", "UV_DEFAULT_INDEX", "UV_CONFIG_FILE")) for name in os.environ):
        return True
    if any(name.startswith(("PIP_INDEX", "PIP_EXTRA", "PIP_FIND", "PIP_CONFIG")) for name in os.environ):
        return False
    asked = subprocess.run(  # noqa: S603 - the command is in this file
        [str(PYTHON), "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
    )
    return not any(word in asked.stdout for word in (b"index-url", b"find-links", b"no-index"))


def main() -> None:
    """Make the environment match the lock file."""
    os.chdir(str(ROOT))
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == lock_key():
        return
    make_venv(find_python())
    install()
    STAMP.write_text(lock_key())


if __name__ == "__main__":
    main()
