"""A Hub on the loopback interface: repositories in memory, spoken to by huggingface_hub's own client.

    with loopback_hub.serve() as hub:
        HfApi(endpoint=hub.endpoint, token=loopback_hub.WRITER).create_repo("me/model")

Large files go over LFS, so a process that uploads needs HF_HUB_DISABLE_XET=1 before it imports huggingface_hub.
"""

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from loopback_state import Commit, LoopbackHub, Refusal, Repository, Request

WRITER, READER, STRANGER = "hf_loopbackWriterOfMe", "hf_loopbackReaderOfMe", "hf_loopbackWriterOfYou"
USERS = {WRITER: ("me", "write"), READER: ("me", "read"), STRANGER: ("you", "write")}
LARGE = 10_000  # bytes from which a file is stored in LFS; those with these endings always are
LARGE_ENDINGS = (".safetensors", ".parquet", ".bin", ".pt")
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
CREATED = "2026-01-01T00:00:00.000Z"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that left is no defect
            super().handle_error(*_)


@contextmanager
def serve() -> Iterator[LoopbackHub]:
    """An empty Hub that answers until the block is left; meanwhile the client is not offline."""
    hub = LoopbackHub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    hub.storage = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with patch("huggingface_hub.constants.HF_HUB_OFFLINE", False):
            yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def consume(hub: LoopbackHub, folder: Path, script: str, *arguments: str, **environment: str) -> None:
    """Run a script in a process that knows the Hub and its reader, and has an empty cache of its own in `folder`."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "home"),
        "HF_TOKEN": READER,
        "HF_HUB_OFFLINE": "0",
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    command = [sys.executable, "-P", "-c", script, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert READER not in done.stdout + done.stderr


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_) -> None:
        pass

    def _handle(self) -> None:
        address = urlsplit(self.path)
        self.route, self.query = unquote(address.path), parse_qs(address.query)
        line = f"{self.command} {unquote(self.path)}"
        self.fault = self.hub.next_fault(line)
        if self.fault and self.fault.delay_s:
            threading.Event().wait(self.fault.delay_s)
        if self.fault and self.fault.drop == "request":
            return self._cut()
        self.body = self._read()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        with self.hub.lock:
            self.hub.received.append(Request(self.command, unquote(self.path), self.body, token))
        try:
            if self.fault and self.fault.status:
                raise Refusal(self.fault.status, self.fault.code)
            self.user, self.role = self._who(token)
            with self.hub.lock:
                self._answer()
        except Refusal as refusal:
            self._send(
                refusal.status, {"error": refusal.message}, X_Error_Code=refusal.code, X_Error_Message=refusal.message
            )

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while length := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, body: object = b"", content_type: str = "application/json", **headers: str) -> None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if self.fault and self.fault.drop == "answer":
            return self._cut()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault and self.fault.drop == "middle":
            self.wfile.write(body[: len(body) // 2])
            return self._cut()
        self.wfile.write(body)

    def _who(self, token: str | None) -> tuple[str | None, str | None]:
        if token is not None and token not in USERS:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        return USERS.get(token, (None, None))

    def _may_write(self, id: str) -> None:
        if self.user is None:
            raise Refusal(401, "", "Invalid username or password.")
        if self.role != "write" or id.split("/")[0] != self.user:
            raise Refusal(403, "", f"You don't have the rights to write to {id}")

    def _repository(self, kind: str, id: str) -> Repository:
        """One that this user may see; another one is answered as if it did not exist."""
        found = self.hub.repositories.get((kind, id))
        if found is None or (found.private and id.split("/")[0] != self.user):
            raise Refusal(404 if self.user else 401, "RepoNotFound", "Repository not found")
        return found

    def _json(self) -> dict:
        return json.loads(self.body)

    def _answer(self) -> None:
        for pattern, answer in ROUTES:
            method, path = pattern.split(" ", 1)
            if self.command in method.split("|") and (match := re.fullmatch(path, self.route)):
                return answer(self, **match.groupdict())
        raise Refusal(404, "", f"no such route: {self.command} {self.route}")

    def _whoami(self) -> None:
        if self.user is None:
            raise Refusal(401, "", "Invalid username or password.")
        access = {"type": "access_token", "accessToken": {"role": self.role}}
        self._send(200, {"type": "user", "name": self.user, "fullname": self.user, "orgs": [], "auth": access})

    def _create(self) -> None:
        wanted = self._json()
        kind, id = wanted.get("type", "model"), f"{wanted.get('organization') or self.user}/{wanted['name']}"
        self._may_write(id)
        prefix = "" if kind == "model" else f"{kind}s/"
        found = {"url": f"{self.hub.endpoint}/{prefix}{id}", "name": id, "id": id}
        if (kind, id) in self.hub.repositories:
            message = "You already created this model repo"
            return self._send(409, found | {"error": message}, X_Error_Message=message)
        first = Commit(hashlib.sha1(f"{kind} {id}".encode()).hexdigest(), {".gitattributes": b""}, "initial commit")
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.hub.repositories[kind, id] = Repository(kind, id, private, [first], {"main": first})
        self._send(200, found)

    def _delete(self) -> None:
        wanted = self._json()
        kind, id = wanted.get("type", "model"), f"{wanted.get('organization') or self.user}/{wanted['name']}"
        self._may_write(self._repository(kind, id).id)
        del self.hub.repositories[kind, id]
        self._send(200, {})

    def _settings(self, kind: str, id: str) -> None:
        self._may_write(id)
        wanted, repository = self._json(), self._repository(KINDS[kind], id)
        repository.private = wanted.get("private", wanted.get("visibility") == "private")
        self._send(200, {"private": repository.private})

    def _validate_yaml(self) -> None:
        """Errors of a card's header: the parts of the Hub's schema that a header of ours may break."""
        header = re.match(r"---\s*\n(.*?)\n---", self._json()["content"], re.DOTALL)
        found = yaml.safe_load(header[1]) if header else {}
        errors = [] if isinstance(found, dict) else ["the header is no mapping"]
        if not errors:
            for key in ("license", "pipeline_tag", "library_name"):
                if not isinstance(found.get(key, ""), str):
                    errors.append(f'"{key}" must be a string')
            languages = found.get("language", [])
            if not isinstance(languages, list) or not all(re.fullmatch("[a-z]{2,3}", str(one)) for one in languages):
                errors.append('"language" must be ISO 639 codes')
            for model in found.get("model-index", []):
                for result in model.get("results", []):
                    for key, parts in (("task", ("type",)), ("dataset", ("type", "name"))):
                        errors += [f"{key}.{part} is required" for part in parts if not result.get(key, {}).get(part)]
                    errors += [
                        "metrics need type and value" for one in result["metrics"] if not {"type", "value"} <= set(one)
                    ]
        body = {"errors": [{"message": one} for one in errors], "warnings": []}
        self._send(400 if errors else 200, body)

    def _info(self, kind: str, id: str, revision: str | None = None) -> None:
        repository = self._repository(KINDS[kind], id)
        commit = repository.at(revision or "main")
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        facts = {"_id": id, "id": id, "modelId": id, "sha": commit.oid, "private": repository.private, "tags": []}
        never = {"gated": False, "disabled": False, "downloads": 0, "likes": 0}
        self._send(200, facts | never | {"siblings": siblings, "lastModified": CREATED, "createdAt": CREATED})

    def _refs(self, kind: str, id: str) -> None:
        repository = self._repository(KINDS[kind], id)

        def listed(named: dict[str, Commit], folder: str) -> list[dict]:
            return [
                {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": at.oid} for name, at in named.items()
            ]

        refs = {"branches": listed(repository.branches, "heads"), "tags": listed(repository.tags, "tags")}
        self._send(200, refs | {"converts": []})

    def _branch(self, kind: str, id: str, name: str) -> None:
        self._may_write(id)
        repository = self._repository(KINDS[kind], id)
        if name in repository.branches:
            raise Refusal(409, "", f"Reference already exists: refs/heads/{name}")
        repository.branches[name] = repository.at(self._json().get("startingPoint", "main"))
        self._send(200, {})

    def _tag(self, kind: str, id: str, revision: str) -> None:
        self._may_write(id)
        repository, name = self._repository(KINDS[kind], id), self._json()["tag"]
        if name in repository.tags:
            raise Refusal(409, "", f"Tag reference exists already: {name}")
        repository.tags[name] = repository.at(revision)
        self._send(200, {})

    def _preupload(self, kind: str, id: str, revision: str) -> None:
        self._may_write(id)
        commit, answers = self._repository(KINDS[kind], id).at(revision), []
        for file in self._json()["files"]:
            path = file["path"]
            large = file["size"] >= LARGE or path.endswith(LARGE_ENDINGS)
            oid = _oid(commit, path) if path in commit.files else None
            mode = "lfs" if large else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._send(200, {"files": answers})

    def _batch(self, kind: str | None, id: str) -> None:
        """Addresses to send large files to; a file that is here already gets none."""
        self._may_write(id)
        self._repository((kind or "models")[:-1], id)
        objects = []
        for one in self._json()["objects"]:
            actions = {"upload": {"href": f"{self.hub.storage}/_lfs/{one['oid']}", "header": {}}}
            missing = one["oid"] not in self.hub.stored
            objects.append({"oid": one["oid"], "size": one["size"]} | ({"actions": actions} if missing else {}))
        self._send(200, {"transfer": "basic", "objects": objects}, "application/vnd.git-lfs+json")

    def _store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "", "the content does not have this SHA-256")
        self.hub.stored[oid] = self.body
        self._send(200, {})

    def _commit(self, kind: str, id: str, revision: str) -> None:
        self._may_write(id)
        repository = self._repository(KINDS[kind], id)
        if revision not in repository.branches:
            raise Refusal(404, "RevisionNotFound", f"no branch {revision}")
        head = repository.branches[revision]
        files, large, title = dict(head.files), set(head.large), ""
        for line in filter(None, self.body.splitlines()):
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, head.oid):
                    raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
                continue
            path = value["path"]
            large.discard(path)
            if key == "file":
                files[path] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise Refusal(400, "", f"{path} points to an LFS file that was not uploaded")
                files[path] = self.hub.stored[value["oid"]]
                large.add(path)
            elif key == "deletedFile":
                del files[path]
            else:
                raise Refusal(400, "", f"unknown operation {key}")
        oid = hashlib.sha1(head.oid.encode() + self.body).hexdigest()
        repository.commits.append(Commit(oid, files, title, frozenset(large)))
        repository.branches[revision] = repository.commits[-1]
        prefix = "" if kind == "models" else f"{kind}/"
        url = f"{self.hub.endpoint}/{prefix}{id}/commit/{oid}"
        self._send(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def _tree(self, kind: str, id: str, revision: str, folder: str | None = None) -> None:
        commit = self._repository(KINDS[kind], id).at(revision)
        below = f"{folder.strip('/')}/" if folder and folder.strip("/") else ""
        everything = self.query.get("recursive", ["False"])[0].lower() in ("true", "1")
        inside = [path for path in sorted(commit.files) if path.startswith(below)]
        if below and not inside:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        folders = {
            below + "/".join(parts[:end])
            for path in inside
            for parts in [path[len(below) :].split("/")]
            for end in range(1, len(parts))
            if everything or end == 1
        }
        files = [path for path in inside if everything or "/" not in path[len(below) :]]
        self._send(200, [_folder(path) for path in sorted(folders)] + [_file(commit, path) for path in files])

    def _paths_info(self, kind: str, id: str, revision: str) -> None:
        commit = self._repository(KINDS[kind], id).at(revision)
        text = self.body.decode()
        wanted = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        found = [_file(commit, path) for path in wanted if path in commit.files]
        folders = [path for path in wanted if any(name.startswith(f"{path}/") for name in commit.files)]
        self._send(200, found + [_folder(path) for path in folders])

    def _resolve(self, id: str, revision: str, path: str, kind: str | None = None) -> None:
        commit = self._repository((kind or "models")[:-1], id).at(revision)
        if path not in commit.files:
            refusal = {"X_Error_Code": "EntryNotFound", "X_Error_Message": "Entry not found"}
            return self._send(404, {"error": "Entry not found"}, X_Repo_Commit=commit.oid, **refusal)
        content, etag = commit.files[path], f'"{_oid(commit, path)}"'
        if path not in commit.large:
            return self._content(content, ETag=etag, X_Repo_Commit=commit.oid)
        linked = {"X_Linked_ETag": etag, "X_Linked_Size": str(len(content)), "X_Repo_Commit": commit.oid}
        self._send(302, b"", Location=f"{self.hub.storage}/_lfs/{_oid(commit, path)}", **linked)

    def _fetch(self, oid: str) -> None:
        if oid not in self.hub.stored:
            raise Refusal(404, "EntryNotFound", "no such LFS file")
        self._content(self.hub.stored[oid], ETag=f'"{oid}"')

    def _content(self, content: bytes, **headers: str) -> None:
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers |= {"Accept_Ranges": "bytes"}
        if span is None:
            return self._send(200, content, "application/octet-stream", **headers)
        start, end = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
        if start >= len(content):
            return self._send(416, b"", Content_Range=f"bytes */{len(content)}", **headers)
        headers["Content_Range"] = f"bytes {start}-{end}/{len(content)}"
        self._send(206, content[start : end + 1], "application/octet-stream", **headers)


def _oid(commit: Commit, path: str) -> str:
    """SHA-256 of a large file, git's blob id of another."""
    content = commit.files[path]
    if path in commit.large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _file(commit: Commit, path: str) -> dict:
    size, oid = len(commit.files[path]), _oid(commit, path)
    large = {"lfs": {"oid": oid, "size": size, "pointerSize": 134}} if path in commit.large else {}
    return {"type": "file", "path": path, "size": size, "oid": oid} | large


def _folder(path: str) -> dict:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}


_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"
_PAGE = r"/(?:(?P<kind>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"
ROUTES = (
    (r"GET /api/whoami-v2", _Handler._whoami),
    (r"POST /api/repos/create", _Handler._create),
    (r"DELETE /api/repos/delete", _Handler._delete),
    (r"POST /api/validate-yaml", _Handler._validate_yaml),
    (rf"PUT {_API}/settings", _Handler._settings),
    (rf"GET {_API}(?:/revision/(?P<revision>.+))?", _Handler._info),
    (rf"GET {_API}/refs", _Handler._refs),
    (rf"POST {_API}/branch/(?P<name>.+)", _Handler._branch),
    (rf"POST {_API}/tag/(?P<revision>.+)", _Handler._tag),
    (rf"POST {_API}/preupload/(?P<revision>.+)", _Handler._preupload),
    (rf"POST {_API}/commit/(?P<revision>.+)", _Handler._commit),
    (rf"GET {_API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?", _Handler._tree),
    (rf"POST {_API}/paths-info/(?P<revision>.+)", _Handler._paths_info),
    (rf"POST {_PAGE}\.git/info/lfs/objects/batch", _Handler._batch),
    (r"PUT /_lfs/(?P<oid>[0-9a-f]{64})", _Handler._store),
    (r"GET|HEAD /_lfs/(?P<oid>[0-9a-f]{64})", _Handler._fetch),
    (rf"GET|HEAD {_PAGE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler._resolve),
)
