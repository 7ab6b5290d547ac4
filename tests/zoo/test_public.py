"""Public models: pulled, resumed, checked, imported and removed, against a server on this machine; what goes wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from liftform.errors import OutputError, UsageError, WeightsError
from liftform.runtime import Runtime
from liftform.zoo import cache, public, pull, registry, weights
from liftform.zoo.public import File, Public

DATA = bytes(range(256)) * 4096  # 1 MiB


class Site:
    """A server: path -> bytes; broken holds bytes after which an answer stops; status: path -> (code, headers)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken: dict[str, int] = {}
        self.status: dict[str, tuple[int, dict[str, str]]] = {}
        self.asked: list[tuple[str, str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                begin = self.headers.get("Range", "")
                site.asked.append((self.command, self.path, begin))
                code, extra = site.status.get(self.path, (200, {}))
                data = site.files.get(self.path, b"")
                if code == 200 and self.path not in site.files:
                    code = 404
                start = int(begin.removeprefix("bytes=").split("-")[0]) if begin and code == 200 else 0
                if begin and code == 200:
                    code = 206 if start < len(data) else 416
                self.send_response(code)
                for key, value in extra.items():
                    self.send_header(key, value)
                self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("X-Repo-Commit", "c" * 40)
                self.send_header("Content-Length", str(max(0, len(data) - start)))
                self.end_headers()
                if body:
                    self.wfile.write(data[start:][: site.broken.pop(self.path, len(data))])

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reader that has gone
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server, empty caches, and the rows "toy" (one file), "pair" (hub), "asking" (wants consent)."""
    site = Site()
    monkeypatch.setenv("LIFTFORM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "LIFTFORM_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    sha = hashlib.sha256(DATA).hexdigest()
    known, unknown = File("weights", "toy.onnx", len(DATA), sha), File("weights", "toy.onnx")
    about = {"task": "mask", "code": "MIT", "weights": "MIT", "about": "a test"}
    hub = (File("config", "a/config.json"), File("weights", "a/net.bin", len(DATA), sha), File("vae", "b/net.bin"))
    rows = {
        "toy": Public(source=f"{site.url}/v0", files=(known,), **about),
        "unknown": Public(source=f"{site.url}/v0", files=(unknown,), **about),
        "asking": Public(source=f"{site.url}/v0", files=(known,), accept=True, **about),
        "pair": Public(source="hub:who/pair", files=hub, **about),
    }
    monkeypatch.setattr(public, "MODELS", rows)
    site.files["/v0/toy.onnx"] = DATA
    yield site
    site.server.shutdown()
    site.server.server_close()


def nothing_half_done() -> bool:
    """Whether the cache holds no file but notes, locks and what may be gone on with."""
    left = [p.name for p in (cache.root() / "models").rglob("*") if p.is_file()]
    return all(name.endswith((".part", "record.json")) for name in left)


def test_a_pull_brings_the_published_bytes_and_tells_how_far_it_is(site):
    seen = []
    found = weights.files("toy", Runtime(progress=lambda stage, share: seen.append((stage, share))))
    assert found["weights"].read_bytes() == DATA
    assert {stage for stage, _ in seen} == {"pull toy"}
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1][1] == 1
    asked = len(site.asked)
    assert weights.files("toy") == found
    assert len(site.asked) == asked, "what is here is not asked for again"


def test_a_broken_download_goes_on_where_it_stopped(site):
    site.broken["/v0/toy.onnx"] = 300_000
    with pytest.raises(WeightsError, match="broke off at 300000 of 1048576"):
        pull.pull("toy")
    assert nothing_half_done()
    assert pull.pull("toy")["weights"].read_bytes() == DATA
    assert site.asked[-1] == ("GET", "/v0/toy.onnx", "bytes=300000-")


def test_other_bytes_are_thrown_away(site):
    site.files["/v0/toy.onnx"] = DATA[:-1]
    with pytest.raises(WeightsError, match="not the published ones"):
        pull.pull("toy")
    site.files["/v0/toy.onnx"] = b"<!DOCTYPE html><title>Please log in</title>"
    with pytest.raises(WeightsError, match="sent a web page instead of weights"):
        pull.pull("unknown")
    assert not list((cache.root() / "models").rglob("*.*"))


def test_the_first_download_is_recorded_and_holds(site):
    path = pull.pull("unknown")["weights"]
    path.write_bytes(DATA[::-1])
    with pytest.raises(WeightsError, match="not the published bytes of 'unknown'"):
        weights.files("unknown")
    assert pull.remove("unknown") == [path]
    assert cache.find("unknown", public.model("unknown").files[0]) is None


@pytest.mark.parametrize("code", [403, 404, 503])
def test_a_server_that_refuses_is_named(site, code):
    site.status["/v0/toy.onnx"] = (code, {})
    with pytest.raises(WeightsError, match=f"refuses it \\(HTTP {code}\\)"):
        pull.pull("toy")


def test_without_network_there_are_three_ways_on(site, monkeypatch, tmp_path):
    for name in ("toy", "pair"):
        site.server.server_close()
        ways = rf"models pull {name}; without: liftform models import {name} FILE .*LIFTFORM_CACHE to a folder"
        with pytest.raises(WeightsError, match=f"cannot be reached .*{ways}"):
            pull.pull(name)
        monkeypatch.setenv("LIFTFORM_OFFLINE", "1")
        with pytest.raises(WeightsError, match=f"switched off .*{ways}"):
            pull.pull(name)
        monkeypatch.delenv("LIFTFORM_OFFLINE")
    (tmp_path / "at hand.onnx").write_bytes(DATA)
    pull.put("toy", tmp_path / "at hand.onnx")
    assert weights.files("toy")["weights"].read_bytes() == DATA


def test_imports_are_checked_and_find_their_place(site, tmp_path):
    (tmp_path / "toy.onnx").write_bytes(DATA[1:])
    with pytest.raises(WeightsError, match=r"not toy.onnx of 'toy' \(sha256"):
        pull.put("toy", tmp_path / "toy.onnx")
    with pytest.raises(UsageError, match="no such file"):
        pull.put("toy", tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="holds no file of 'pair'"):
        pull.put("pair", tmp_path / "toy.onnx")
    (tmp_path / "net.bin").write_bytes(DATA)
    (path,) = pull.put("pair", tmp_path / "net.bin")  # two files have this name; the bytes tell which it is
    assert path == cache.folder("pair") / "a" / "net.bin"
    for name in ("a/config.json", "b/net.bin"):
        (tmp_path / "whole" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "whole" / name).write_text("{}" if "config" in name else "weights")
    assert len(pull.put("pair", tmp_path / "whole")) == 2
    assert {path.relative_to(cache.folder("pair")).as_posix() for path in weights.files("pair").values()} == {
        "a/config.json",
        "a/net.bin",
        "b/net.bin",
    }
    assert not site.asked


def test_consent_is_asked_once(site):
    with pytest.raises(UsageError, match=r"asks for your consent .*--accept-licence"):
        weights.files("asking")
    assert not site.asked
    assert pull.pull("asking", accept=True)["weights"].is_file()
    pull.remove("asking")
    assert weights.files("asking")["weights"].is_file()


def test_a_cache_that_cannot_be_written_is_said(site, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIFTFORM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match=r"cannot be written .*set LIFTFORM_CACHE"):
        pull.pull("toy")


def test_a_full_disk_is_said_and_leaves_what_came(site, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pull.os, "replace", full)
    with pytest.raises(OutputError, match=r"the disk is full .*another disk"):
        pull.pull("toy")
    assert nothing_half_done()


PULLING = """
import sys
from liftform.zoo import public, pull
row = public.Public(task="mask", source=sys.argv[1], files=(public.File("weights", "toy.onnx"),),
                    code="MIT", weights="MIT", about="")
public.MODELS = {"toy": row}
print(pull.pull("toy")["weights"].stat().st_size)
"""


def test_two_processes_download_once(site):
    line = [sys.executable, "-c", PULLING, f"{site.url}/v0"]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [str(len(DATA))] * 2
    assert len([asked for asked in site.asked if asked[0] == "GET"]) == 1


# -- a hub ----------------------------------------------------------------------------------------------------------


def on_hub(site: Site, **files: bytes) -> None:
    """Publish files of who/pair."""
    for path, data in files.items():
        site.files[f"/who/pair/resolve/main/{path}"] = data
    site.files["/"] = b""


def test_a_hub_is_asked_through_its_own_library(site):
    pytest.importorskip("huggingface_hub")
    on_hub(site, **{"a/config.json": b"{}", "a/net.bin": DATA, "b/net.bin": b"vae"})
    seen = []
    found = weights.files("pair", Runtime(progress=lambda *event: seen.append(event)))
    assert found["weights"].read_bytes() == DATA
    assert found["vae"].read_bytes() == b"vae"
    assert all(path.is_relative_to(cache.hub_root()) for path in found.values())
    assert seen[-1] == ("pull pair", 1.0)
    asked = len(site.asked)
    assert weights.files("pair") == found, "found again without a word to the hub"
    assert len(site.asked) == asked
    assert len(pull.remove("pair")) == 3
    assert not [p for p in cache.hub_root().rglob("*") if p.is_file() and "blobs" in p.parts]


@pytest.mark.parametrize(
    ("code", "word", "message"),
    [
        (403, "GatedRepo", "lets in only those who asked .*ask for access"),
        (401, "RepoNotFound", "not there any more"),
        (404, "EntryNotFound", "not there any more"),
    ],
)
def test_a_hub_that_refuses_is_understood(site, code, word, message):
    pytest.importorskip("huggingface_hub")
    on_hub(site, **{"a/config.json": b"{}"})
    site.status["/who/pair/resolve/main/a/config.json"] = (code, {"X-Error-Code": word})
    with pytest.raises(WeightsError, match=message):
        weights.files("pair")


def test_other_bytes_of_a_hub_are_refused(site):
    pytest.importorskip("huggingface_hub")
    on_hub(site, **{"a/config.json": b"{}", "a/net.bin": DATA[::-1], "b/net.bin": b"vae"})
    with pytest.raises(WeightsError, match="not the published bytes of 'pair'"):
        weights.files("pair")


# -- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", public.MODELS)
def test_rows_say_what_must_be_known(name):
    row = public.model(name)
    assert row.task in registry.tasks("make")
    assert name in registry.names(row.task), "a model without an adapter"
    assert row.code
    assert row.weights
    assert row.commercial
    assert len({file.role for file in row.files}) == len(row.files)
    for file in row.files:
        assert not file.sha256 or (len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef"))
    if row.repository:
        assert len(row.revision) == 40, "a branch may change under us"
        assert row.extra
    else:
        assert row.source.startswith("https://")
        assert all(file.sha256 and file.size for file in row.files)


def test_unknown_models_are_usage_errors():
    with pytest.raises(UsageError, match="did you mean 'triposr'"):
        weights.files("triposer")


def test_the_command_lists_and_verifies(site, capsys, tmp_path):
    from liftform import cli

    def said(*words: str, code: int = 0) -> tuple[str, str]:
        assert cli.main(["models", *words]) == code
        return tuple(capsys.readouterr())

    rows = {row["name"]: row for row in json.loads(said("--json")[0])}
    assert (rows["toy"]["state"], rows["toy"]["bytes"], rows["mask"]["state"]) == ("absent", len(DATA), "verified")
    assert "is not on this machine — with network: liftform models pull toy" in said("where", "toy", code=6)[1]
    out, err = said("pull", "toy")
    assert "pulling toy (1.0 MB): code MIT, weights MIT; commercial use allowed" in err
    path = Path(out.strip())
    assert said("pull", "toy") == (f"{path}\n", "")
    assert "here" in said("list")[0]
    path.write_bytes(DATA[:-1] + b"?")
    assert "damaged" in said("verify", code=6)[0]
    assert said("remove", "toy")[0].strip() == str(path)
    (tmp_path / "net.bin").write_bytes(DATA)
    assert "pair still lacks a/config.json, b/net.bin" in said("import", "pair", str(tmp_path / "net.bin"))[1]
    assert "did you mean 'pull'" in said("pul", code=2)[1]
    assert "asks for your consent" in said("pull", "asking", code=2)[1]
    assert said("pull", "asking", "--accept-licence", "-q") == ("", "")
