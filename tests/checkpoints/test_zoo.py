import dataclasses
import http.server
import threading

import pytest
import torch

from mattekit import checkpoints
from mattekit.checkpoints import published, zoo
from mattekit.models import Preprocessing, pp_matting
from oracles import seeded
from oracles.networks import small, trained_looking

FILE = "ppmatting-hrnet_w18-human_512.pdparams"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = 0
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        record = dataclasses.replace(published["human-512"], url=f"http://127.0.0.1:{server.server_port}/{FILE}")
        monkeypatch.setattr(zoo, "published", {"human-512": record})
        yield server
        server.shutdown()
        thread.join()


def test_a_name_brings_encoder_weights_and_test_time_size(server, tmp_path):
    server.content = seeded.write_pdparams(tmp_path / "w18.pdparams").read_bytes()
    model = pp_matting(weights="human-512")
    assert model.encoder.widths == (18, 36, 72, 144)
    assert model.max_short_side == 512
    other = pp_matting("hrnet_w18")
    assert checkpoints.load(other, "human-512").complete
    assert other.max_short_side == 512
    by_path = tmp_path / "hub" / "checkpoints" / FILE
    assert checkpoints.load(other, by_path).complete
    assert pp_matting(weights=by_path).preprocessing == model.preprocessing
    assert server.asked == 1

    data = bytearray(by_path.read_bytes())
    data[10_000] ^= 1  # in an array's numbers, or in a name: the hash tells in either case where it cannot be read
    by_path.write_bytes(data[:-1])
    with pytest.raises(
        RuntimeError, match=f"{FILE} has .* bytes, and .* were downloaded: delete .*{FILE} and try again"
    ):
        pp_matting(weights="human-512")


def test_a_downloaded_file_that_was_damaged_says_what_to_do(server, tmp_path):
    server.content = seeded.write(tmp_path / "a.pdparams", {"a": seeded.seeded("a", (4, 4))}).read_bytes()
    model = torch.nn.Conv2d(1, 1, 1)
    with pytest.raises(RuntimeError, match="does not fit Conv2d"):
        checkpoints.load(model, "human-512")
    path = tmp_path / "hub" / "checkpoints" / FILE
    path.write_bytes(b"\x00" * len(server.content))
    with pytest.raises(RuntimeError, match=f"{FILE} is not what was downloaded: delete .*{FILE} and try again"):
        checkpoints.load(model, "human-512")


@pytest.mark.parametrize("content", [b"<html>Log in</html>", b"\x80\x04}.", b""])
def test_what_is_no_checkpoint_is_not_kept(server, tmp_path, content):
    server.content = content
    with pytest.raises(RuntimeError, match=r"what comes from there .*Nothing of it was kept"):
        pp_matting(weights="human-512")
    assert not (tmp_path / "hub" / "checkpoints" / FILE).exists()


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "PACKAGED", tmp_path / "weights")
    return tmp_path / "weights"


def test_without_weights_in_the_package_there_are_the_published_ones(package):
    assert zoo.names_of_weights() == list(published)


def test_a_file_in_the_package_is_a_name(package, tmp_path, monkeypatch):
    package.mkdir()
    (package / "card.md").write_text("no weights")
    model = trained_looking(small(guidance=(5,), preprocessing=Preprocessing(max_short_side=320)))
    checkpoints.save(model, package / "tiny.safetensors")
    assert zoo.names_of_weights() == ["tiny", *published]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()  # a name is no path
    again = pp_matting(weights="tiny")
    assert again.max_short_side == 320
    torch.testing.assert_close(again.state_dict(), model.state_dict())
    assert checkpoints.load(small(guidance=(5,)), "tiny").complete
    with pytest.raises(FileNotFoundError, match="tinny is neither a file nor one of tiny, composition-1k, "):
        pp_matting(weights="tinny")


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
