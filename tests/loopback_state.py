"""What the loopback Hub knows: repositories, stored files, what it was sent, and what is to go wrong."""

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Commit:
    oid: str
    files: dict[str, bytes]
    title: str
    large: frozenset[str] = frozenset()  # paths stored in LFS


@dataclass
class Repository:
    kind: str
    id: str
    private: bool
    commits: list[Commit] = field(default_factory=list)  # of all branches, in the order they were made
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """Path → content at the head of main."""
        return self.branches["main"].files

    def at(self, revision: str) -> Commit:
        named = self.branches | self.tags | {commit.oid: commit for commit in self.commits}
        if revision not in named:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return named[revision]


@dataclass
class Request:
    method: str
    path: str  # with its query, unquoted
    body: bytes
    token: str | None


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose "METHOD /path?query" the pattern finds.

    Args:
        status: answered instead, with `code` as X-Error-Code.
        drop: "request" cuts the connection before anything is done, "answer" after it is done, "middle" after half of
            the answer's body.
        delay_s: waited before the rest.
    """

    pattern: str
    times: int = 1
    status: int | None = None
    code: str = ""
    drop: str | None = None
    delay_s: float = 0.0


class Refusal(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, code: str = "", message: str = ""):
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message or code


class LoopbackHub:
    """State of the Hub, and what it was sent.

    Attributes:
        endpoint: address for `HF_ENDPOINT` and `HfApi(endpoint=…)`.
        storage: where large files are fetched from: the same server under another name, as the client expects it.
        repositories: (kind, id) → repository; kinds are "model", "dataset" and "space".
        stored: SHA-256 → content of every LFS file that arrived whole.
        received: every request, in order.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.storage = ""
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.received: list[Request] = []
        self.lock = threading.RLock()
        self._faults: list[Fault] = []

    def fault(self, pattern: str, **settings) -> Fault:
        """Let something go wrong, see `Fault`; its `times` counts down."""
        fault = Fault(pattern, **settings)
        self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def requests(self, pattern: str) -> list[Request]:
        """Received requests whose "METHOD /path?query" the pattern finds."""
        return [one for one in self.received if re.search(pattern, f"{one.method} {one.path}")]

    def model(self, id: str) -> Repository:
        return self.repositories["model", id]

    def next_fault(self, line: str) -> Fault | None:
        with self.lock:
            fault = next((one for one in self._faults if one.times > 0 and re.search(one.pattern, line)), None)
            if fault:
                fault.times -= 1
            return fault
