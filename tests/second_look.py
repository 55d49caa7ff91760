"""`make test-again`: a few tests that have just failed, once more and one after the other.

A test of real processes may lose a race on a busy machine. What passes now is named loudly; what
fails again, or was more than a few, is a failure.
"""

import json
import subprocess
import sys
from pathlib import Path

FEW = 3
_LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    """The exit status: 0 only if some had failed, not more than a few, and all pass now."""
    failed = sorted(json.loads(_LAST_FAILED.read_text())) if _LAST_FAILED.exists() else []
    if not 0 < len(failed) <= FEW:
        print(f"{len(failed)} tests failed: run once more are 1 to {FEW}, so these stand.")
        return 1
    print(f"Once more, one after the other: {', '.join(failed)}", flush=True)
    again = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *failed], check=False)
    if again.returncode == 0:
        print("UNSTABLE (failed, then passed alone; a bug of the test or of what it tests):")
        print("\n".join(f"  {test}" for test in failed))
    return again.returncode


if __name__ == "__main__":
    sys.exit(main())
