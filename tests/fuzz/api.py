"""Generated requests for the whole API, made by schemathesis against a running service: `make fuzz-api`.

Schemathesis lives in an environment of its own and is named on the command line. Whatever it makes of the published
schema, also what contradicts it, no answer may be a server error, and each must be what the schema says.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers.running import RECIPE, served

# What it is not told: routes that never end by themselves; see test_api_service.py and test_live_view.py for them.
_ENDLESS = "^/api/(events|camera/live)$"
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)  # and not ignored_auth: wrong tokens are counted, and test_api_access.py tries every route


def main() -> int:
    """Run it; return its exit status, or 1 if the service has not survived or has logged a bug."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schemathesis", help="the program")
    parser.add_argument("--examples", type=int, default=900, help="requests for each operation")
    parser.add_argument("--once", action="store_true", help="only with the names of what there is")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as service:
        service.local.put("/api/recipes/beetle", json={"yaml": "\n".join(f"{k}: {v}" for k, v in RECIPE.items())})
        shoot_id = service.begin().json()["shoot_id"]
        service.idle()
        # Once with the names of what there is, so that requests get beyond the first check, and once with any names.
        known = Path(folder, "known.toml")
        known.write_text(
            f'[parameters]\n"path.shoot_id" = ["{shoot_id}", "20260101T000000-0000"]\n"path.name" = ["beetle", '
            '"shoot.json", "x"]\n"path.version" = [1, 2]\n"path.index" = [0, 1, 70000]\n',
            encoding="utf-8",
        )
        any_name = Path(folder, "any.toml")
        any_name.touch()
        failed = False
        for names in (known,) if arguments.once else (any_name, known):
            done = subprocess.run(
                [
                    Path(arguments.schemathesis).absolute(), "--config-file", str(names), "run",
                    f"http://127.0.0.1:{service.port}/api/openapi.json", "--header",
                    f"Authorization: Bearer {service.token}", "--exclude-path-regex", _ENDLESS, "--checks", _CHECKS,
                    "--max-examples", str(arguments.examples), "--seed", str(arguments.seed), "--phases",
                    "examples,coverage,fuzzing", "--continue-on-failure", "--no-color", "--suppress-health-check",
                    "all", "--request-timeout", "30", "--workers", "2", "--generation-database", "none",
                    "--warnings", "off",
                ],
                check=False, cwd=folder,
            )  # fmt: skip
            failed = failed or done.returncode != 0
        bugs = [event for name in ("request.failed", "desk.failed") for event in service.logged(name)]
        for bug in bugs:
            print(bug["event"], bug.get("path", ""), str(bug.get("exception", ""))[-2000:])  # noqa: T201
        return failed or bool(bugs) or not service.is_healthy()


if __name__ == "__main__":
    sys.exit(main())
