import dataclasses
import http.server
import re
import threading

import pytest

from mattekit import checkpoints
from mattekit.checkpoints import loading, published
from mattekit.checkpoints.published import download
from mattekit.models import pp_matting
from oracles import seeded

CONTENT = bytes(range(256)) * 8192  # 2 MiB


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content``; honours ranges unless told not to; can hang up after some bytes."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        content, start = server.content, 0
        if server.honours_ranges and (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")):
            start = int(match[1])
            if start >= len(content):
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(server.status)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + server.hang_up_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.status, server.ranges = CONTENT, 200, []
        server.honours_ranges, server.hang_up_after = True, len(CONTENT)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def record(server, name="human-512"):
    return dataclasses.replace(
        published[name], url=f"http://127.0.0.1:{server.server_port}/ppmatting-hrnet_w18-human_512.pdparams"
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "hub" / "checkpoints"


def test_downloads_once_into_the_hub_folder(server, folder, capsys):
    path = download(record(server))
    assert path == folder / "ppmatting-hrnet_w18-human_512.pdparams"
    assert path.read_bytes() == CONTENT
    assert "100%" in capsys.readouterr().err
    assert download(record(server)) == path
    assert server.ranges == [None]


def test_goes_on_after_an_interruption(server, folder):
    server.hang_up_after = 1_500_000
    with pytest.raises(RuntimeError, match=r"cannot download 'human-512' from .*: got 1500000 of 2097152 bytes"):
        download(record(server))
    assert [path.name for path in folder.iterdir()] == ["ppmatting-hrnet_w18-human_512.pdparams.part"]
    server.hang_up_after = len(CONTENT)
    assert download(record(server)).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1500000-"]
    assert [path.name for path in folder.iterdir()] == ["ppmatting-hrnet_w18-human_512.pdparams"]


def test_starts_anew_where_the_server_knows_no_ranges(server, folder):
    folder.mkdir(parents=True)
    (folder / "ppmatting-hrnet_w18-human_512.pdparams.part").write_bytes(b"something old")
    server.honours_ranges = False
    assert download(record(server)).read_bytes() == CONTENT


def test_starts_anew_where_too_much_is_there(server, folder):
    folder.mkdir(parents=True)
    (folder / "ppmatting-hrnet_w18-human_512.pdparams.part").write_bytes(CONTENT + b"more")
    assert download(record(server)).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_missing_file_leaves_nothing(server, folder):
    server.status = 404
    with pytest.raises(RuntimeError, match=r"cannot download 'human-512' from http.*: HTTP Error 404"):
        download(record(server))
    assert not list(folder.iterdir())


def test_offline_says_what_to_do(server, folder):
    entry = record(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(
        RuntimeError, match="Without a network, fetch that address elsewhere and put the file at"
    ) as error:
        download(entry)
    assert str(folder / "ppmatting-hrnet_w18-human_512.pdparams") in str(error.value)
    assert "or pass its path as weights" in str(error.value)


def test_a_name_brings_encoder_weights_and_test_time_size(server, tmp_path, monkeypatch):
    server.content = seeded.write_pdparams(tmp_path / "w18.pdparams").read_bytes()
    server.hang_up_after = len(server.content)
    monkeypatch.setattr(loading, "published", {"human-512": record(server)})
    model = pp_matting(weights="human-512")
    assert model.encoder.widths == (18, 36, 72, 144)
    assert model.max_short_side == 512
    other = pp_matting("hrnet_w18")
    assert checkpoints.load(other, "human-512").complete
    assert other.max_short_side == 512


def test_the_table():
    assert {name: (entry.encoder, entry.max_short_side, entry.sad) for name, entry in published.items()} == {
        "composition-1k": ("hrnet_w48", 1536, 46.22),
        "distinctions-646": ("hrnet_w48", 1536, 40.69),
        "human-512": ("hrnet_w18", 512, 31.56),
        "human-1024": ("hrnet_w18", 1024, 66.22),
    }
    assert published["human-512"].url.endswith("/matting/models/ppmatting-hrnet_w18-human_512.pdparams")
    with pytest.raises(TypeError):
        published["mine"] = published["human-512"]
