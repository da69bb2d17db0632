"""HTTP over the service's Unix socket: answers, events, and errors as the ones that they were in the service.

httpx is imported when a service answers: whoever runs without one does not wait for it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focusrail.errors import FocusrailError, NoService, ServiceLost, reported
from focusrail_drivers.base import DriverError

if TYPE_CHECKING:
    import httpx

ANSWER_S = 5.0  # for what the service answers without doing anything
SILENCE_S = 40.0  # on the stream of events, where it speaks every 15 s


def answers(path: Path) -> bool:
    """Whether a service listens at a socket. Raises NoService where it may not be used, ServiceLost where it hangs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(str(path))
        except PermissionError as error:
            raise NoService(
                f"a service's socket, {path}, may not be used by you: join the group that owns it (ls -l {path}) and "
                "log in again, or work in a folder of your own with --data FOLDER"
            ) from error
        except (TimeoutError, BlockingIOError) as error:
            raise ServiceLost(_silent(path)) from error
        except OSError:  # not there, or left by one that was killed
            return False
    return True


def _silent(path: Path) -> str:
    return (
        f"the service at {path} does not answer within {ANSWER_S:g} s: it hangs, or is stopped; see its log "
        "(journalctl -u focusrail), and start it again"
    )


class Wire:
    """Requests and answers. Safe from several threads."""

    def __init__(self, path: Path) -> None:
        """Connect to a service that `answers`. Raises ServiceLost."""
        import httpx  # noqa: PLC0415 - as the module says

        self.socket = path
        self._httpx = httpx
        self._waits = httpx.Timeout(ANSWER_S, read=None)  # a move takes as long as it takes; Ctrl-C ends it
        # There is no TLS on a Unix socket: certificates need not be loaded, which takes a while.
        transport = httpx.HTTPTransport(uds=str(path), verify=False, trust_env=False)
        self._http = httpx.Client(transport=transport, base_url="http://localhost", timeout=ANSWER_S, trust_env=False)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """An answer's JSON. Raises what the service met with, ServiceLost."""
        with self._reaching():
            return _checked(self._http.get(path, params=query)).json()

    def post(self, path: str, body: object = None, *, soon: bool = False) -> Any:
        """An answer's JSON, None where there is none; `soon`: it must come at once. Raises as `get`."""
        answer = self.ask("POST", path, body, soon=soon)
        return json.loads(answer) if answer else None

    def ask(self, method: str, path: str, body: object = None, *, soon: bool = False) -> bytes:
        """An answer's body. Raises as `get`."""
        with self._reaching():
            waits = ANSWER_S if soon else self._waits
            return _checked(self._http.request(method, path, json=body, timeout=waits)).content

    def events(self, after: int) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """Number, name and data of every event after one. Ends only by ServiceLost."""
        waits = self._httpx.Timeout(ANSWER_S, read=SILENCE_S)
        with (
            self._reaching(),
            self._http.stream("GET", "/api/events", params={"after": after}, timeout=waits) as answer,
        ):
            if answer.status_code >= 400:
                answer.read()
            _checked(answer)
            number, name = after, ""
            for line in answer.iter_lines():
                key, _, value = line.partition(": ")
                if key == "id":
                    number = int(value)
                elif key == "event":
                    name = value
                elif key == "data":
                    yield number, name, json.loads(value)
        raise ServiceLost(f"the service at {self.socket} has ended")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except self._httpx.TimeoutException as error:
            raise ServiceLost(_silent(self.socket)) from error
        except self._httpx.TransportError as error:
            raise ServiceLost(f"the connection to the service at {self.socket} is lost: has it ended?") from error


def error_of(name: str, message: str) -> FocusrailError | DriverError | RuntimeError:
    """The error that the service met with; one that is not known here is a bug of ours."""
    error = reported(name, message)
    unknown = type(error) is FocusrailError and name != FocusrailError.__name__
    return RuntimeError(f"{name}: {message}") if unknown else error


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code < 400:
        return answer
    try:
        told = answer.json()
        kind, detail = str(told["type"]), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        raise RuntimeError(f"the service answered {answer.status_code}: its log says more") from None
    words = kind.removeprefix("/problems/")
    if words in (kind, "invalid-request"):
        raise FocusrailError(f"the service refuses: {detail}")
    raise error_of("".join(word.capitalize() for word in words.split("-")), detail)


Hears = Callable[[int, str, Mapping[str, Any]], None]
