"""The options of ``mattekit predict``, most of them with a network that takes no time."""

import argparse
import gc
import io
import struct
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from mattekit import checkpoints, cli, inference
from mattekit.cli.looks import Look, read_background
from mattekit.cli.overlap import AHEAD, BEHIND
from mattekit.cli.predict import add_parser
from mattekit.cli.steps import Made, Steps
from mattekit.foreground import estimate_foreground
from mattekit.models import pp_matting
from mattekit.photos import Photo, read_image, read_matte, read_photo, write_image
from mattekit.photos.writing import encode

COLOUR = np.array([200, 100, 40], np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Grey(torch.nn.Module):
    """Every matte is 0.5."""

    def forward(self, image):
        return type("Output", (), {"alpha": torch.full_like(image[:, :1], 0.5)})


@pytest.fixture
def grey(monkeypatch):
    monkeypatch.setattr("mattekit.models.pp_matting", lambda weights: Grey())
    monkeypatch.setattr("mattekit.inference.prepare", lambda model, **_: model)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(pp_matting("hrnet_w18_small_v1"), path)
    return path


@pytest.fixture
def photo(tmp_path):
    """A photo of one colour."""
    path = tmp_path / "a.png"
    write_image(path, np.broadcast_to(COLOUR, (32, 48, 3)).copy())
    return path


def predict(*args):
    return cli.main(["predict", *map(str, args)])


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---- how results look


def test_refine_draws_the_transition_by_the_photos_colours(tmp_path, grey):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", pixels)
    assert predict(tmp_path / "a.png", "--out", tmp_path / "out", "--only", "alpha", "--refine", "--bits", "16") == 0
    matte = read_matte(tmp_path / "out/a_alpha.png", bits=None)
    expected = inference.refine_alpha(np.full((32, 48), 0.5, np.float32), pixels)
    np.testing.assert_allclose(matte / 65535, expected, rtol=0, atol=0.5 / 65535 + 1e-7)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_cutout_keeps_depth_and_profile(tmp_path, grey, suffix):
    deep = np.random.default_rng(0).integers(0, 65536, (32, 48, 3), dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(encode("deep.png", deep, icc_profile=PROFILE))
    with Image.open(tmp_path / "deep.png") as image:  # Pillow reads what we wrote, checksum and all
        image.load()
        assert image.info["icc_profile"] == PROFILE
    assert predict(tmp_path / "deep.png", "--out", tmp_path / "out", "--format", suffix) == 0
    cutout = read_photo(tmp_path / "out" / f"deep_cutout.{suffix}")
    assert cutout.pixels.dtype == cutout.alpha.dtype == np.uint16
    assert cutout.icc_profile == PROFILE
    assert (cutout.alpha == 32768).all()
    matte = read_matte(tmp_path / "out" / f"deep_alpha.{suffix}", bits=None)
    assert matte.dtype == np.uint16
    assert (matte == 32768).all()
    png = read_photo(tmp_path / "deep.png")  # the colours are the same whatever the format
    assert (cutout.pixels == estimate_foreground(png.pixels, np.full((32, 48), 0.5, np.float32))).all()


@pytest.mark.parametrize("suffix", ["webp", "jpg"])
def test_a_photo_of_16_bits_has_8_where_the_format_has_no_more(tmp_path, grey, suffix):
    deep = np.full((32, 48, 3), 51500, np.uint16)  # 200.4 in 8 bits
    (tmp_path / "deep.png").write_bytes(encode("deep.png", deep, icc_profile=PROFILE))
    options = ["--format", suffix, *(["--background", "black"] if suffix == "jpg" else [])]
    assert predict(tmp_path / "deep.png", "--out", tmp_path / "out", *options) == 0
    cutout = read_photo(tmp_path / "out" / f"deep_cutout.{suffix}")
    assert cutout.pixels.dtype == np.uint8
    assert cutout.icc_profile == PROFILE
    assert (cutout.pixels == (100 if suffix == "jpg" else 200)).all()
    assert (read_matte(tmp_path / "out" / f"deep_alpha.{suffix}", bits=None) == 128).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_profiles_of_8_bits(tmp_path, grey, suffix):
    Image.new("RGB", (48, 32), tuple(COLOUR.tolist())).save(tmp_path / "a.png", icc_profile=PROFILE)
    options = ["--format", suffix, *(["--background", "#000000"] if suffix == "jpg" else [])]
    assert predict(tmp_path / "a.png", "--out", tmp_path / "out", *options) == 0
    with Image.open(tmp_path / "out" / f"a_cutout.{suffix}") as image:
        assert image.info["icc_profile"] == PROFILE
        assert image.mode == ("RGB" if suffix == "jpg" else "RGBA")


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_bits_on_request(tmp_path, photo, grey, bits, dtype):
    assert predict(photo, "--out", tmp_path / "out", "--bits", bits) == 0
    cutout = read_photo(tmp_path / "out" / "a_cutout.png")
    assert cutout.pixels.dtype == read_matte(tmp_path / "out" / "a_alpha.png", bits=None).dtype == dtype
    assert (cutout.pixels // (257 if bits == 16 else 1) == COLOUR).all()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("L", 77, (77, 77, 77)), ("CMYK", (0, 255, 255, 0), (254, 0, 0)), ("RGBA", (9, 8, 7, 99), (9, 8, 7))],
)
def test_other_kinds_of_photos(tmp_path, grey, capsys, mode, colour, expected):
    path = tmp_path / "a.tif"
    Image.new(mode, (48, 32), colour).save(path)
    assert predict(path, "--out", tmp_path / "out") == 0
    cutout = read_photo(tmp_path / "out" / "a_cutout.png")
    assert np.abs(cutout.pixels[0, 0].astype(int) - expected).max() <= 1  # Pillow's CMYK is 1 off
    assert (cutout.alpha == 128).all()


def test_an_upright_photo_has_an_upright_cutout(tmp_path, grey):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 32)).save(tmp_path / "a.jpg", exif=exif)
    assert predict(tmp_path / "a.jpg", "--out", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a_cutout.png") as image:
        assert image.size == (32, 48)
        assert image.getexif().get(0x0112, 1) == 1


def test_backgrounds(tmp_path, photo, grey):
    """Half of the photo's one colour and half of the background's: a closed form."""
    assert predict(photo, "--out", tmp_path / "colour", "--background", "white", "--only", "cutout") == 0
    assert names(tmp_path / "colour") == ["a_cutout.png"]
    mixed = read_image(tmp_path / "colour" / "a_cutout.png")
    assert np.abs(mixed - (COLOUR + 255.0) / 2).max() <= 0.5
    image = np.zeros((10, 10, 3), np.uint8)
    image[:, :5] = 200
    write_image(tmp_path / "b.png", image)
    assert predict(photo, "--out", tmp_path / "image", "--background", tmp_path / "b.png") == 0
    mixed = read_image(tmp_path / "image" / "a_cutout.png")
    assert mixed.shape == (32, 48, 3)
    for column, value in (0, 200), (47, 0):
        assert np.abs(mixed[:, column] - (COLOUR + float(value)) / 2).max() <= 0.5


@pytest.mark.parametrize("size", [(4, 3000), (3000, 4)])
def test_a_background_of_other_proportions_takes_no_memory(size):
    """Its middle, a gradient's, fills the photo; scaled as a whole it took 27 MB here, gigabytes of a photo."""
    gradient = np.linspace(0, 255, 200).round().astype(np.uint8)
    upright = np.ascontiguousarray(np.broadcast_to(gradient[:, None, None], (200, 200, 3)))
    background = Photo(upright if size[0] < size[1] else upright.swapaxes(0, 1).copy(), None, None)
    photo, nothing = Photo(np.zeros((*size, 3), np.uint8), None, None), np.zeros(size, np.float32)
    tracemalloc.start()
    encoded = Look(".png", 8, background).encode("cutout", photo, nothing)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(read_photo(io.BytesIO(encoded)).pixels - 127.5).max() <= 1
    assert peak < 5e6


def test_a_background_has_three_channels():
    for text in ("#102030", "#10203040", "rgb(16, 32, 48)"):
        assert read_background(text).pixels.tolist() == [[[16, 32, 48]]]


def display_p3():
    """The profile of sRGB with the three primaries of Display P3, adapted to D50, in ICC's fixed point."""
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    data = bytearray(PROFILE)
    for n in range(int.from_bytes(data[128:132], "big")):
        name, offset, _ = struct.unpack_from(">4sII", data, 132 + 12 * n)
        if name in primaries:
            struct.pack_into(">3i", data, offset + 8, *(round(x * 65536) for x in primaries.pop(name)))
    assert not primaries
    return bytes(data)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_background_is_the_colour_that_was_asked_for(tmp_path, bits):
    """In the photo's profile: a colour of sRGB, and an image of its own profile; by the primaries of both, in xy."""
    srgb, p3 = (32, 160, 64), (77, 158, 76)
    Image.new("RGB", (30, 20), p3).save(tmp_path / "p3.png", icc_profile=display_p3())
    for text, profile, expected in [
        ("#20a040", display_p3(), p3),
        ("#20a040", PROFILE, srgb),
        ("#20a040", None, srgb),
        ("#20a040", b"damaged", srgb),
        (str(tmp_path / "p3.png"), display_p3(), p3),
        (str(tmp_path / "p3.png"), None, srgb),
    ]:
        photo = Photo(np.zeros((6, 9, 3), np.uint8), None, profile)
        look = Look(".tif", bits, read_background(text))
        found = read_photo(io.BytesIO(look.encode("cutout", photo, np.zeros((6, 9), np.float32)))).pixels
        assert np.abs(found / (257 if bits == 16 else 1) - expected).max() <= 1, (text, profile)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--background", "nothing"], "--background must be a colour, such as white or '#20a040', or an image"),
        (["--format", "jpg"], "--format jpg has no alpha channel for cut-outs"),
        (["--only", "alpha", "--background", "white"], "--background is laid under cut-outs, and --only alpha writes"),
        (["--format", "webp", "--bits", "16"], "--bits 16 needs --format png or tif, got webp"),
        (["--trimaps", "nowhere"], "--trimaps must be a folder, got nowhere"),
        (["--device", "nowhere"], "--device must be one that torch can use here, got 'nowhere': Expected one"),
        (["--device", "xpu"], "got 'xpu': "),  # which torch is built without
        (["--device", "meta"], "--device must be one that computes, got 'meta'"),
        (["--precision", "float16", "--device", "cpu"], "precision must be 'float32' or 'bfloat16'"),
        (["--refine", "--max-memory", "1G"], "--refine cannot keep to --max-memory: leave one of them out"),
    ],
)
def test_what_does_not_go_together(tmp_path, photo, weights, capsys, options, message):
    assert predict(photo, "--out", tmp_path / "out", "--weights", weights, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "number"), [("1000", 1000), ("2k", 2048), ("1.5MB", 1572864), ("2GiB", 2**31)])
def test_numbers_of_bytes(tmp_path, photo, grey, monkeypatch, text, number):
    given = []
    monkeypatch.setattr(
        "mattekit.inference.predict",
        lambda model, pixels, **options: given.append(options["max_memory"]) or np.ones(pixels.shape[:2], np.float32),
    )
    assert predict(photo, "--out", tmp_path / "out", "--max-memory", text) == 0
    assert given == [number]


def test_no_number_of_bytes(photo, capsys):
    with pytest.raises(SystemExit, match="2"):
        predict(photo, "--max-memory", "much")
    assert "must be a number of bytes, such as 500M or 2G, got much" in capsys.readouterr().err


@pytest.mark.parametrize("exists", [False, True])
def test_out_is_no_file(tmp_path, grey, photo, exists, capsys):
    """Tools that write one file are called with its name: a folder of that name is not what was meant."""
    out = tmp_path / ("taken.txt" if exists else "cut.PNG")
    if exists:
        out.write_text("mine")
    assert predict(photo, "--out", out) == 2
    assert f"--out must be a folder, got {out}: for one file" in capsys.readouterr().err
    assert names(tmp_path) == (["a.png", "taken.txt"] if exists else ["a.png"])
    (tmp_path / "set.png").mkdir()
    assert predict(photo, "--out", tmp_path / "set.png") == 0


# ---- which subject


def test_trimaps_masks_and_alpha_channels(tmp_path, weights, capsys):
    """What they know comes out exactly so."""
    left = np.zeros((64, 96), np.uint8)
    left[:, :48] = 255
    photos = tmp_path / "photos"
    write_image(
        photos / "a.png", np.dstack([np.random.default_rng(0).integers(0, 256, (64, 96, 3)), left]).astype("u1")
    )
    write_image(tmp_path / "trimaps" / "a.png", left)
    write_image(tmp_path / "masks" / "a.tif", left // 255)  # of 0 and 1
    options = ["--weights", weights, "--only", "alpha"]
    for name in ("trimaps", "masks", "alpha-as-mask"):
        option = [f"--{name}", *([] if name == "alpha-as-mask" else [tmp_path / name])]
        assert predict(photos, "--out", tmp_path / f"out-{name}", *options, *option) == 0
        matte = read_matte(tmp_path / f"out-{name}" / "a_alpha.png")
        assert (matte[:, :40] == 255).all(), name  # but for the masks' band
        assert (matte[:, 56:] == 0).all(), name
        assert ("alpha channels were ignored in 1 of 1 photos" in capsys.readouterr().err) == (name != "alpha-as-mask")
    (tmp_path / "trimaps" / "a.png").rename(tmp_path / "trimaps" / "b.png")
    assert predict(photos, "--out", tmp_path / "out", *options, "--trimaps", tmp_path / "trimaps") == 2
    assert f"a.png: there is no trimap a in {tmp_path / 'trimaps'}" in capsys.readouterr().err


def test_a_photo_without_an_alpha_channel_has_no_mask(tmp_path, weights, capsys):
    """Nothing was said of it, and the network chose the subject."""
    colours = np.random.default_rng(0).integers(0, 256, (64, 96, 4), np.uint8)
    colours[..., 3] = 255
    write_image(tmp_path / "photos/opaque.png", colours)
    write_image(tmp_path / "photos/plain.png", colours[..., :3])
    assert predict(tmp_path / "photos", "--weights", weights, "--out", tmp_path / "out", "--alpha-as-mask") == 0
    said = "no alpha channel, or one that is the same everywhere, in 2 of 2 photos: there the network chose the subject"
    assert said in capsys.readouterr().err


# ---- which photos


def test_a_second_run_does_what_is_missing(tmp_path, photo, grey, capsys):
    out = tmp_path / "out"
    assert predict(photo, "--out", out) == 0
    before = (out / "a_cutout.png").stat().st_mtime_ns
    assert predict(photo, "--out", out) == 0
    assert capsys.readouterr().out.endswith(
        "nothing to do: 1 of 1 results are in " + str(out) + "; --overwrite makes them again\n"
    )
    assert (out / "a_cutout.png").stat().st_mtime_ns == before
    assert predict(photo, "--out", out, "--weights", "smal") == 2  # though nothing is left to be done with them
    assert "smal is neither a file nor one of small, " in capsys.readouterr().err
    write_image(tmp_path / "b.png", read_image(photo))
    (out / "a_alpha.png").rename(out / "kept.png")
    assert predict(photo, tmp_path / "b.png", "--out", out) == 0
    assert names(out) == ["a_alpha.png", "a_cutout.png", "b_alpha.png", "b_cutout.png", "kept.png"]
    (out / "b_alpha.png").unlink()
    capsys.readouterr()
    assert predict(photo, tmp_path / "b.png", "--out", out) == 0
    said = capsys.readouterr()
    assert said.out.startswith("wrote 1 of 1 mattes")
    assert "skipped 1 whose results are there; --overwrite makes them again\n" in said.err
    (out / "a_alpha.png").write_bytes(b"")
    assert predict(photo, "--out", out, "--overwrite") == 0
    assert read_matte(out / "a_alpha.png").shape == (32, 48)


def test_folders_within_folders(tmp_path, photo, grey, capsys):
    pixels = read_image(photo)
    for name in ("a.png", "one/a.png", "one/two/b.jpg", ".hidden/c.png"):
        write_image(tmp_path / "photos" / name, pixels)
    (tmp_path / "photos" / "one" / "loop").symlink_to(tmp_path / "photos")
    out = tmp_path / "photos" / "mattes"
    for _ in range(2):  # the second run does not take the results for photos
        assert predict(tmp_path / "photos", "--recursive", "--out", out, "--only", "alpha", "--overwrite") == 0
        assert names(out) == ["a_alpha.png", "one/a_alpha.png", "one/two/b_alpha.png"]
    assert predict(tmp_path / "photos", "--out", tmp_path / "flat", "--only", "alpha") == 0
    assert names(tmp_path / "flat") == ["a_alpha.png"]


# ---- in a pipe


def feed(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_from_standard_input_to_standard_output(photo, grey, monkeypatch, capfdbinary):
    feed(monkeypatch, photo.read_bytes())
    assert predict("-") == 0
    out, err = capfdbinary.readouterr()
    cutout = np.array(Image.open(io.BytesIO(out)))
    assert (cutout == [*COLOUR, 128]).all()
    assert b"wrote 1 of 1 cut-outs to standard output" in err


def test_from_standard_input_to_a_folder_and_from_a_file_to_standard_output(
    tmp_path, photo, grey, monkeypatch, capfdbinary
):
    feed(monkeypatch, photo.read_bytes())
    assert predict("-", "--out", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["stdin_alpha.png", "stdin_cutout.png"]
    capfdbinary.readouterr()
    assert predict(photo, "--out", "-", "--only", "alpha", "--format", "webp") == 0
    assert np.array(Image.open(io.BytesIO(capfdbinary.readouterr().out)).convert("L")).tolist() == [[128] * 48] * 32


def test_a_pipe_is_for_one_photo(tmp_path, photo, grey, monkeypatch, capsys):
    write_image(tmp_path / "b.png", read_image(photo))
    for arguments in (("-", photo), (photo, tmp_path / "b.png", "--out", "-")):
        assert predict(*arguments) == 2
        assert "-, standard input or output, is for one photo, got 2" in capsys.readouterr().err
    feed(monkeypatch, b"no image")
    assert predict("-") == 2
    assert "failed: -: cannot " in capsys.readouterr().err


def test_no_more_photos_are_held_than_are_in_work(tmp_path, photo, grey, monkeypatch):
    """However many there are; what the process takes of the system settles, at the mercy of malloc, somewhere above."""
    for n in range(16):
        write_image(tmp_path / "photos" / f"{n}.png", read_image(photo))
    gc.collect()
    others = {id(x) for x in gc.get_objects() if type(x) is Photo}  # what earlier tests have not let go
    held = []
    real = inference.predict

    def watched(*args, **options):
        held.append(sum(type(x) is Photo and id(x) not in others for x in gc.get_objects()))
        return real(*args, **options)

    monkeypatch.setattr(inference, "predict", watched)
    assert predict(tmp_path / "photos", "--out", tmp_path / "out", "--only", "alpha") == 0
    assert len(held) == 16
    assert max(held) <= AHEAD + 1 + BEHIND + 1  # as in test_overlap


@pytest.fixture
def two_threads():
    """Of torch's: with so many, two small photos are worked on at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_several_small_photos_at_once(tmp_path, weights, two_threads, monkeypatch):
    """They come out as one by one; large ones get all threads, one after another."""
    rng = np.random.default_rng(0)
    sizes = [(64, 96), (40, 70), (64, 96), (200, 220), (33, 64), (96, 64)]
    for n, size in enumerate(sizes):
        write_image(tmp_path / "photos" / f"{n}.png", rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    monkeypatch.setattr("mattekit.cli.steps.LARGE", 30_000)
    threads = {}
    real = inference.predict

    def watched(network, pixels, **options):
        threads.setdefault(pixels.shape[:2], set()).add((threading.current_thread().name, torch.get_num_threads()))
        return real(network, pixels, **options)

    monkeypatch.setattr(inference, "predict", watched)
    options = ["--out", tmp_path / "together", "--weights", weights]
    assert predict(tmp_path / "photos", *options) == 0
    here = (threading.current_thread().name, 2)
    assert threads.pop((200, 220)) == {here}
    assert {count for found in threads.values() for _, count in found} == {1}
    assert here not in {thread for found in threads.values() for thread in found}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    options[1] = tmp_path / "alone"
    assert predict(tmp_path / "photos", *options) == 0
    for name in names(tmp_path / "together"):
        one, other = (np.asarray(Image.open(tmp_path / folder / name)) for folder in ("alone", "together"))
        assert abs(one.astype(int) - other).max() <= 1  # sums in another order, then rounded
    assert len(names(tmp_path / "together")) == 2 * len(sizes)


def test_photos_beyond_pillows_limit(tmp_path, photo, grey, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert predict(photo, "--out", tmp_path / "out") == 0
    assert "Warning" not in capsys.readouterr().err
    assert 2 * Image.MAX_IMAGE_PIXELS == 500_000_000


@pytest.mark.parametrize(
    ("options", "size", "small"),
    [
        ([], (1024, 2048), True),  # the network sees 256 × 512
        ([], (1024, 2049), False),
        ([], (100, 20_000), False),  # which is not shrunk
        ([], (1, 500_000), False),  # of which the network sees 32 rows
        (["--max-short-side", "768"], (1024, 900), False),
        (["--max-short-side", "512"], (1024, 900), True),
        (["--max-memory", "1G"], (100, 100), False),
    ],
)
def test_which_photos_are_small(tmp_path, options, size, small):
    """By pixels, of the photo and of what the network sees."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["predict", "a.png", *options])
    network = SimpleNamespace(max_short_side=256)
    steps = Steps(network, args, {}, None, None)
    photo = Photo(np.zeros((*size, 3), np.uint8), None, None)
    assert steps.is_small(Made(None, photo, {})) == small
