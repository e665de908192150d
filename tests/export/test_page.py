"""The page of web/, driven by a real browser: what it saves is what torch computes, and nothing leaves the machine."""

import base64
import functools
import http.server
import io
import json
import re
import runpy
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mattekit import export
from mattekit.models import pp_matting
from mattekit.photos import limit_short_side, to_multiple_of
from oracles.networks import lively, small

WEB = Path(__file__).parent.parent.parent / "web"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def missing():
    if CHROMIUM is None:
        return "there is no Chromium"
    if shutil.which("node") is None:
        return "there is no Node"
    for package in ("onnxruntime-web", "puppeteer-core"):
        if not (WEB / "node_modules" / package).exists():
            return f"web/node_modules has no {package}: npm install --prefix web"
    return None


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def address(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "page"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def picture(saved):
    name, data = saved
    return name, np.array(Image.open(io.BytesIO(base64.b64decode(data))))


def test_photos_are_shrunk_as_small_knows():
    (side,) = re.findall(r"SHORT_SIDE = (\d+);", (WEB / "matte.js").read_text())
    assert int(side) == pp_matting(weights="small").max_short_side


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """What the page's script does, run by Node beside a network that waits."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node")
    folder = tmp_path_factory.mktemp("script")
    shutil.copy(WEB / "matte.js", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "ort").mkdir()
    (folder / "ort" / "ort.wasm.min.mjs").write_text(
        "export const env = { wasm: {} };\n"
        "export class Tensor {}\n"
        "const run = () => computed.then(() => ({ alpha: { data: new Float32Array(64 * 32) } }));\n"
        "export const InferenceSession = { create: async () => ({ run }) };\n"
    )
    command = ["node", str(Path(__file__).parent / "page.mjs"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_network_sees_the_size_that_predict_gives_it(script):
    (limit,) = re.findall(r"SHORT_SIDE = (\d+);", (WEB / "matte.js").read_text())
    for width, height, *seen in script["sizes"]:
        shrunk = limit_short_side(np.empty((height, width), np.uint8), int(limit))
        assert (seen[1], seen[0]) == to_multiple_of(shrunk).shape, (width, height)


def test_a_photo_at_work_outlasts_what_is_refused(script):
    assert script["refused"] == "That is no image."
    assert script["busy"] is None
    assert script["done"] == 1
    assert script["said"].startswith("64 × 32 pixels")


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
@torch.no_grad()
def test_mattes_a_dropped_photo_as_torch_does(address, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = lively(small())
    runpy.run_path(str(WEB / "assemble.py"))["assemble"](tmp_path / "page")
    export.onnx(model, tmp_path / "page" / "matte.onnx")
    photo = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")

    command = ["node", "drive.mjs", CHROMIUM, address, tmp_path / "photo.png"]
    done = subprocess.run(list(map(str, command)), cwd=WEB, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)

    assert result["errors"] == []
    assert result["refused"] == "That is no image."
    assert result["said"].startswith("160 × 96 pixels, seen at 160 × 96, in ")
    # the photo's size is one that the network takes, so nothing is resized: equal but for 8 bits and rounding in ties
    alpha = model(torch.from_numpy(photo.transpose(2, 0, 1)[None].copy()) / 255).alpha[0, 0].numpy()
    name, matte = picture(result["matte"])
    assert name == "a photo_alpha.png"
    assert (np.abs(matte[:, :, 0] - 255.0 * alpha) <= 1).mean() > 0.99
    name, cutout = picture(result["cutout"])
    assert name == "a photo_cutout.png"
    assert (np.abs(cutout[:, :, 3] - 255.0 * alpha) <= 1).mean() > 0.99
    opaque = cutout[:, :, 3] == 255
    assert opaque.any()
    np.testing.assert_array_equal(cutout[opaque][:, :3], photo[opaque])

    assert {method for method, _ in result["requests"]} == {"GET"}  # nothing is uploaded
    fetched = [url for _, url in result["requests"] if url.startswith("http")]
    assert all(url.startswith(address) for url in fetched)
