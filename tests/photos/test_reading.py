import io
import os
import re
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from mattekit.photos import read_image, read_matte, read_photo, write_image
from mattekit.photos.decoding import measure
from mattekit.photos.reading import read_mask
from mattekit.photos.writing import encode, write_cutout


def photo(height=6, width=9):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_lossless_round_trip(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", photo())
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), photo())


def test_a_matte_and_its_cutout(tmp_path):
    cut = np.random.default_rng(0).integers(0, 256, (2, 3, 4), np.uint8)
    write_cutout(tmp_path, "a", np.array([[0, 0.25, 0.5], [0.75, 0.999, 1]], np.float32), cut)
    assert np.array(Image.open(tmp_path / "a_alpha.png")).tolist() == [[0, 64, 128], [191, 255, 255]]
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "a_cutout.png")), cut)


# EXIF's orientation, and what brings the stored pixels upright
ORIENTATIONS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_honoured(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), ORIENTATIONS[orientation](photo()))


@pytest.fixture
def pillow_without_heif(monkeypatch):
    """Pillow as it is before somebody has it read HEIF."""
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)


def write_heic(path, pixels, **others):
    """A photo as phones write it, but without loss; their orientation is a property of the image, and in its EXIF."""
    image = Image.fromarray(pixels)
    pillow_heif.from_pillow(image).save(path, quality=-1, chroma=444, matrix_coefficients=0, **others)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_heic_is_upright(tmp_path, pillow_without_heif, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    write_heic(tmp_path / "a.heic", pixels, exif=exif.tobytes())
    upright = ORIENTATIONS[orientation](pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.heic"), upright)
    assert measure(tmp_path / "a.heic") == upright.shape[:2]


def test_a_heic_keeps_its_alpha_and_its_profile(tmp_path, pillow_without_heif):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    write_heic(tmp_path / "a.heic", pixels, icc_profile=profile)
    read = read_photo(tmp_path / "a.heic")
    np.testing.assert_array_equal(np.dstack([read.pixels, read.alpha]), pixels)
    assert read.icc_profile == profile


def test_white_of_a_grey_heic_of_ten_bits_is_white(tmp_path, pillow_without_heif):
    grey = (np.uint16([0, 512, 1023]) << 6).repeat(32) * np.ones((32, 1), np.uint16)
    file = pillow_heif.from_bytes("L;16", grey.shape[::-1], grey.tobytes())
    file.save(tmp_path / "a.heic", quality=-1)
    assert read_matte(tmp_path / "a.heic", bits=16)[0, ::32].tolist() == [0, 512 << 6 | 512 >> 4, 65535]


def test_a_heic_says_what_reads_it(tmp_path, pillow_without_heif, monkeypatch):
    write_heic(tmp_path / "a.heic", photo())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(OSError, match=r"cannot read '.*a\.heic': it is HEIF \(\.heic\), .* pip install pillow-heif"):
        read_image(tmp_path / "a.heic")


def test_a_video_is_no_heic(tmp_path, pillow_without_heif, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    with pytest.raises(OSError, match="cannot identify image file"):
        read_image(tmp_path / "a.heic")


def test_other_modes_become_rgb(tmp_path):
    grey = photo()[..., 0]
    write_image(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.dstack([grey] * 3))
    write_image(tmp_path / "rgba.png", np.dstack([photo(), grey]))
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), photo())
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), np.dstack([grey] * 3))


def test_what_is_read_can_be_written_to(tmp_path):
    """Read-only arrays, as Pillow gives them, draw a warning from torch.from_numpy."""
    write_image(tmp_path / "grey.png", photo()[..., 0])
    write_image(tmp_path / "rgb.png", photo())
    for read in (read_image, read_matte):
        for name in ("grey.png", "rgb.png"):
            assert read(tmp_path / name).flags.writeable


def test_matte_is_the_first_channel(tmp_path):
    write_image(tmp_path / "rgb.png", photo())
    np.testing.assert_array_equal(read_matte(tmp_path / "rgb.png"), photo()[..., 0])
    Image.fromarray(photo()[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_matte(tmp_path / "deep.png"), photo()[..., 0])
    Image.fromarray(photo()[..., 0] > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_matte(tmp_path / "bits.png"), np.where(photo()[..., 0] > 127, 255, 0))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_cutout_is_no_matte(tmp_path, mode):
    """Its first channel is the photo's red."""
    image = Image.fromarray(photo()).convert(mode)
    image.save(tmp_path / "a.png")  # opaque: its colours are all there is
    np.testing.assert_array_equal(read_matte(tmp_path / "a.png"), np.asarray(image)[..., 0])
    image.putpixel((3, 2), (*[0] * (len(mode) - 1), 254))
    image.save(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"a\.png': its alpha channel is not constant, so it looks like a cut-out"):
        read_matte(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_matte])
def test_unreadable_files(tmp_path, read):
    write_image(tmp_path / "whole.png", photo(60, 90))
    data = (tmp_path / "whole.png").read_bytes()
    for content in (b"", b"no image", data[: len(data) // 2], data[:40] + bytes(len(data) - 40)):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(OSError, match=r"."):
            read(tmp_path / "bad.png")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.png")


# ---- depth


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_come_back(tmp_path, suffix, channels):
    pixels = np.random.default_rng(0).integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    write_image(tmp_path / f"a{suffix}", pixels[..., 0] if channels == 1 else pixels)
    photo = read_photo(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(photo.pixels, np.dstack([pixels] * 3) if channels == 1 else pixels[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, pixels[..., 3])
    else:
        assert photo.alpha is None
        np.testing.assert_array_equal(read_matte(tmp_path / f"a{suffix}", bits=None), pixels[..., 0])


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_profile_goes_along(tmp_path, suffix, dtype, channels, odd):
    """Pillow reads it back, so that the chunk's length and sum are right, and the pixels come back to the bit."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(odd)
    shape = (6, 9) if channels == 1 else (6, 9, channels)
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    path = tmp_path / f"a{suffix}"
    if dtype == np.uint16 and suffix == ".webp":
        with pytest.raises(OSError, match=r"16 bits a channel need \.png or \.tif, got \.webp"):
            encode(path, pixels, icc_profile=profile)
        return
    path.write_bytes(encode(path, pixels, icc_profile=profile))
    with Image.open(path) as image:
        image.load()
        assert image.info["icc_profile"] == profile
    photo = read_photo(path)
    rgb = pixels[..., :3] if channels > 1 else np.dstack([pixels] * 3)
    np.testing.assert_array_equal(photo.pixels, rgb)
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, pixels[..., 3])


def test_depth_by_request(tmp_path):
    pixels = np.array([[0, 128, 129, 65535]], np.uint16)  # 257 is a step of 8 bits, and 128.5 its half
    write_image(tmp_path / "deep.png", pixels)
    assert read_matte(tmp_path / "deep.png").tolist() == [[0, 0, 1, 255]]
    write_image(tmp_path / "flat.png", np.array([[0, 1, 255]], np.uint8))
    assert read_matte(tmp_path / "flat.png", bits=16).tolist() == [[0, 257, 65535]]
    assert read_matte(tmp_path / "flat.png", bits=None).dtype == np.uint8
    with pytest.raises(ValueError, match="bits must be 8, 16 or None, got 12"):
        read_image(tmp_path / "flat.png", bits=12)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_16_bits_are_turned_upright(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 65536, (6, 9, 3), dtype=np.uint16)
    write_image(tmp_path / "a.png", pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    data = (tmp_path / "a.png").read_bytes()  # its header ends at byte 33
    chunk = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, ORIENTATIONS[orientation](pixels))
    assert measure(tmp_path / "a.png") == ORIENTATIONS[orientation](pixels).shape[:2]


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_in_the_unit_range_become_16_bits(tmp_path, shape, dtype):
    values = np.random.default_rng(0).random(shape).astype(dtype)
    values.flat[:3] = 0, 1, 1 + 2e-7  # what blurring leaves a little above 1 is 1
    cv2.imwrite(str(tmp_path / "a.tif"), values[..., ::-1] if values.ndim == 3 else values)
    expected = np.rint(values.clip(0, 1) * 65535)
    found = read_photo(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(found, expected if values.ndim == 3 else np.dstack([expected] * 3))
    assert found.dtype == np.uint16
    assert measure(tmp_path / "a.tif") == (6, 9)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_tiff_in_deep_colour_is_turned_upright_once(tmp_path, orientation, dtype):
    pixels = np.random.default_rng(0).integers(0, 65536, (6, 9, 3), dtype=np.uint16)
    stored = pixels if dtype == np.uint16 else (pixels / 65535).astype(np.float32)
    data = bytearray(cv2.imencode(".tif", stored[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [bytes(data[start + 2 + 12 * n :][:12]) for n in range(count)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", 0x0112)]
    entries.append(struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    data[4:8] = struct.pack("<I", len(data))
    data += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, ORIENTATIONS[orientation](pixels))
    assert measure(tmp_path / "a.tif") == ORIENTATIONS[orientation](pixels).shape[:2]


def test_colours_that_hold_their_alpha_are_divided_by_it(tmp_path):
    stored = np.full((4, 5, 4), 128 * 257, np.uint16)
    stored[..., :3] = np.array([100, 50, 25]) * 257  # blue, green, red as OpenCV has them
    cv2.imwrite(str(tmp_path / "a.tif"), stored, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    data = (tmp_path / "a.tif").read_bytes()
    planar, associated = (struct.pack("<HHIHH", tag, 3, 1, 1, 0) for tag in (284, 338))  # its default gives room
    assert data.count(planar) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(planar, associated))
    pixels = read_photo(tmp_path / "a.tif").pixels
    assert np.abs(pixels - np.array([25, 50, 100]) / (128 / 255)).max() <= 1


# ---- what has no agreed scale is refused


@pytest.mark.parametrize("read", [read_image, read_matte])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 5), 200, np.int32), "its samples are int32, which has no agreed white"),
        (np.full((4, 5), 70000, np.int32), "its samples are int32, which has no agreed white"),
        (np.full((4, 5), 200, np.float32), r"floats and must lie in \[0, 1\], got 200 to 200: did you pass 0..255"),
        (np.full((4, 5, 3), 200, np.float32), r"floats and must lie in \[0, 1\], got 200 to 200"),
        (np.full((4, 5), np.nan, np.float32), r"floats and must lie in \[0, 1\], got NaN"),
    ],
)
def test_samples_of_no_certain_scale(tmp_path, read, values, message):
    if values.ndim == 2:
        Image.fromarray(values).save(tmp_path / "a.tif")
    else:
        cv2.imwrite(str(tmp_path / "a.tif"), values)
    with pytest.raises(OSError, match=message):
        read(tmp_path / "a.tif")


def tiff(samples, bits, photometric, *, planar=1, extra=(), data=None):
    """An uncompressed TIFF of samples (H, W, C); of channels one after another (C, H, W)."""
    data = samples.tobytes() if data is None else data
    height, width, channels = samples.shape if planar == 1 else (*samples.shape[1:], len(samples))
    size = len(data) // (channels if planar == 2 else 1)
    strips = range(8, 8 + len(data), size)
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", strips),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [size] * len(strips)),
        284: ("H", [planar]),
        338: ("H", extra),
        339: ("H", [3 if samples.dtype.kind == "f" else 1] * channels),
    }
    tags = {tag: entry for tag, entry in tags.items() if len(entry[1])}
    end = 8 + len(data)
    beyond = end + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, (kind, numbers) in tags.items():
        packed = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            values, packed = values + packed, struct.pack("<I", beyond + len(values))
        entries += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(numbers)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", end) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_may_be_0(tmp_path, dtype):
    values = np.random.default_rng(0).random((6, 9, 1)).astype(np.float32)
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    stored = (values * white).astype(dtype)
    (tmp_path / "a.tif").write_bytes(tiff(stored, stored.itemsize * 8, photometric=0))
    matte = read_matte(tmp_path / "a.tif", bits=None)
    np.testing.assert_allclose(matte / np.iinfo(matte.dtype).max, 1 - stored[..., 0] / white, atol=1e-5)


def test_white_may_be_0_where_the_large_byte_comes_first(tmp_path):
    """Pillow does not know such files of 16 bits; OpenCV reads them."""
    values = np.arange(54, dtype=np.uint16).reshape(6, 9) * 1000
    tags = [(256, 4, 9), (257, 4, 6), (258, 3, 16), (259, 3, 1), (262, 3, 0), (273, 4, 122), (277, 3, 1), (279, 4, 108)]
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in tags
    )
    start = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries
    (tmp_path / "a.tif").write_bytes(start.ljust(122, b"\0") + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_matte(tmp_path / "a.tif", bits=None), 65535 - values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_channel_of_no_known_meaning_is_left_out(tmp_path, dtype):
    stored = np.random.default_rng(0).integers(0, 256, (6, 9, 4)).astype(dtype)
    (tmp_path / "a.tif").write_bytes(tiff(stored, stored.itemsize * 8, photometric=2, extra=[0]))
    found = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, stored[..., :3])
    assert found.alpha is None


def test_channels_of_8_bits_may_stand_one_after_another(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(photo().transpose(2, 0, 1), 8, photometric=2, planar=2))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), photo())


@pytest.mark.parametrize("read", [read_image, read_matte, measure])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(np.ones((3, 6, 9), np.uint16), 16, 2, planar=2), "its channels of 16 bits stand one after another"),
        (tiff(np.ones((3, 6, 9), np.float32), 32, 2, planar=2), "its channels of 32 bits stand one after another"),
        (tiff(np.ones((6, 9, 2), np.uint16), 16, 1, extra=[2]), "it has 2 channels of 16 bits, which cannot be read"),
        (tiff(np.ones((6, 8, 1), np.uint16), 12, 1, data=bytes(72)), "its samples have 12 bits"),
    ],
)
def test_a_tiff_that_would_be_read_wrong(tmp_path, read, data, message):
    """Pillow or OpenCV give other numbers for these, without a word."""
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(OSError, match=message):
        read(tmp_path / "a.tif")


def test_a_foreign_tiff_is_measured_before_it_is_decoded(tmp_path):
    """A few bytes that claim 100,000 x 100,000 pixels of floats."""
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((4, 5, 3), np.float32))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for tag in (256, 257):
        entry = next(
            i for i in range(len(data)) if data[i : i + 2] == tag.to_bytes(2, "little") and data[i + 2] in (3, 4)
        )
        data[entry + 2 : entry + 12] = (
            (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + (10**5).to_bytes(4, "little")
        )
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(OSError, match="100000 x 100000 pixels are more than the limit"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("values", "dtype"), [((0, 1), np.uint8), ((0, 255), np.uint8), ((0, 65535), np.uint16), ((0, 1), np.uint16)]
)
def test_masks_are_white_at_1_or_at_their_most(tmp_path, values, dtype):
    mask = np.array([[values[0], values[1]], [values[1], values[0]]], dtype)
    write_image(tmp_path / "a.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[0, 1], [1, 0]])


def test_masks_may_be_probabilities(tmp_path):
    write_image(tmp_path / "a.png", np.array([[0, 51], [128, 255]], np.uint8))
    np.testing.assert_allclose(read_mask(tmp_path / "a.png"), [[0, 0.2], [128 / 255, 1]], rtol=1e-6)


# ---- colours


def profile(name):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def test_a_profile_of_rgb_is_kept_and_the_numbers_with_it(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.png", icc_profile=profile("sRGB"))
    found = read_photo(tmp_path / "a.png")
    assert found.icc_profile == profile("sRGB")
    np.testing.assert_array_equal(found.pixels, photo())


def test_a_profile_of_other_colours_is_dropped_where_it_does_not_fit(tmp_path):
    pixels = photo().astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(encode("a.png", pixels, icc_profile=profile("LAB")))
    found = read_photo(tmp_path / "a.png")
    assert found.icc_profile is None
    np.testing.assert_array_equal(found.pixels, pixels)


def of_gamma(gamma):
    """A profile of grey: a header, white, and a curve of one power."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)  # D50
    table = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 14)
    size = 128 + len(table) + len(white) + len(curve)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ") + bytes(12) + b"acsp"
    return header + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48) + table + white + curve


@pytest.mark.parametrize(("dtype", "alpha"), [(np.uint8, False), (np.uint8, True), (np.uint16, False)])
def test_grey_becomes_srgb_by_its_profile(tmp_path, dtype, alpha):
    """Linear greys, by sRGB's own formula, to a step of 8 bits."""
    white = np.iinfo(dtype).max
    grey = np.linspace(0, white, 24).astype(dtype).reshape(4, 6)
    linear = grey / white
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    path = tmp_path / "a.png"
    if alpha:
        Image.fromarray(np.dstack([grey, grey[::-1]])).save(path, icc_profile=of_gamma(1))
    else:
        path.write_bytes(encode(path, grey, icc_profile=of_gamma(1)))
        np.testing.assert_array_equal(read_matte(path, bits=None), grey)  # a matte's numbers are as they are stored
    found = read_photo(path)
    assert found.icc_profile is None
    assert found.pixels.dtype == dtype
    np.testing.assert_allclose(found.pixels / white, np.dstack([expected] * 3), rtol=0, atol=1 / 255)
    assert found.alpha is None or (found.alpha == grey[::-1]).all()


def test_cmyk_photos_become_srgb(tmp_path):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), photo())  # Pillow's way there and back is exact
    assert read_photo(tmp_path / "a.tif").icc_profile is None


def test_lab_photos_become_srgb_by_their_profile(tmp_path):
    smooth = np.dstack([*np.meshgrid(np.linspace(60, 200, 8), np.linspace(60, 200, 6)), np.full((6, 8), 120.0)])
    smooth = np.rint(smooth).astype(np.uint8)
    lab = ImageCms.profileToProfile(
        Image.fromarray(smooth), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "a.tif", icc_profile=profile("LAB"))
    found = read_image(tmp_path / "a.tif").astype(int)
    assert np.abs(found - smooth).mean() < 1  # L, a and b are of 8 bits; where they change fast one is off by 9


def test_a_matte_is_not_the_cyan(tmp_path):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "a.tif")
    with pytest.raises(OSError, match="a matte must be grey or RGB, got CMYK"):
        read_matte(tmp_path / "a.tif")


def test_a_stream_is_named_if_it_has_a_name(tmp_path):
    Image.fromarray(np.full((4, 5), 200, np.int32)).save(tmp_path / "a.tif")
    with open(tmp_path / "a.tif", "rb") as file, pytest.raises(OSError, match=r"cannot read '.*a\.tif': its samples"):
        read_photo(file)
    with pytest.raises(OSError, match="cannot read 'a stream': its samples are int32"):
        read_photo(io.BytesIO((tmp_path / "a.tif").read_bytes()))


def test_a_coloured_palette_is_no_matte(tmp_path):
    """DAVIS, for one, stores its first object as index 1, in dark red."""
    image = Image.fromarray((photo()[..., 0] > 127).astype(np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "a.png")
    with pytest.raises(OSError, match="its palette has colours"):
        read_matte(tmp_path / "a.png")
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_matte(tmp_path / "a.png"), np.where(photo()[..., 0] > 127, 255, 0))


def test_a_transparent_palette_is_a_cutout(tmp_path):
    image = Image.fromarray((photo()[..., 0] > 127).astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png", transparency=0)
    with pytest.raises(OSError, match="looks like a cut-out"):
        read_matte(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zeros_and_ones_are_no_matte(tmp_path, dtype):
    mask = np.array([[0, 1, 1]], dtype)
    write_image(tmp_path / "a.png", mask)
    with pytest.raises(OSError, match=r"it holds 0 and 1 and nothing else.*multiply it by 255"):
        read_matte(tmp_path / "a.png")
    write_image(tmp_path / "a.png", mask * 0)  # nothing there, in any scale
    assert not read_matte(tmp_path / "a.png").any()


# ---- files that are no files, and files that are broken


@pytest.mark.parametrize(
    ("pixels", "name", "message"),
    [
        (np.zeros(shape, np.uint8), "a.png", rf"pixels must have shape \(H, W\), .* got shape {re.escape(str(shape))}")
        for shape in [(4, 5, 1), (4, 5, 2), (5,), (4, 5, 5), (0, 5), (4, 0, 3), (1, 4, 5, 3)]
    ]
    + [(photo(), "a.psd", "the suffix must be that of an image format that Pillow writes, got 'a.psd'")],
)
def test_what_cannot_be_written(pixels, name, message):
    for suffix in (name, name.replace("png", "bmp")):
        with pytest.raises(ValueError, match=message):
            encode(suffix, pixels)


@pytest.mark.parametrize(
    ("shape", "name", "message"),
    [
        *(
            ((4, 5, 4), f"a.{kind}", "an alpha channel needs a format that keeps it")
            for kind in ("bmp", "gif", "jpg", "ppm")
        ),
        ((300, 200), "a.ico", ".ico is for icons, whose sizes are fixed"),
        ((300, 200), "a.icns", ".icns is for icons, whose sizes are fixed"),
        ((16384, 1), "a.webp", r"cannot encode \(16384, 1\) pixels as .webp: .* limit of 16383"),
        ((65536, 1), "a.gif", r"cannot encode \(65536, 1\) pixels as .gif"),
    ],
)
def test_what_a_format_cannot_hold_is_an_oserror(tmp_path, shape, name, message):
    with pytest.raises(OSError, match=message):
        write_image(tmp_path / name, np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())


def test_large_photos(tmp_path, monkeypatch):
    """Above Pillow's limit, of which it warns, and above twice as many pixels."""
    write_image(tmp_path / "a.png", photo())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6 * 9 - 1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), photo())
    assert measure(tmp_path / "a.png") == (6, 9)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6 * 9 // 2 - 1)
    with pytest.raises(OSError, match=r"exceeds limit of 52 pixels.*set PIL\.Image\.MAX_IMAGE_PIXELS to half of its"):
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6 * 9 // 2)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), photo())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_that_was_forked_while_a_photo_was_opened_opens_one(tmp_path):
    write_image(tmp_path / "a.png", photo())
    program = """
import os, signal, sys
from mattekit.photos import decoding, read_image
with decoding._OPENING:
    child = os.fork()
    if not child:
        signal.alarm(5)
        read_image(sys.argv[1])
        os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "a.png")], check=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match="no regular file"):
        read_image(tmp_path / "a.png")


def test_a_corrupt_exif_is_an_oserror_where_warnings_are_errors(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 10
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    with pytest.raises(OSError, match="EXIF"):  # in the tests, warnings are errors
        read_image(tmp_path / "a.jpg")
    script = f"from mattekit.photos import read_image; print(read_image({str(tmp_path / 'a.jpg')!r}).shape)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "(6, 9, 3)\n"


@pytest.mark.parametrize(("name", "keep"), [("a.jpg", 0.8), ("a.png", 0.8), ("b.png", 0.0)])
@pytest.mark.parametrize("read", [read_image, read_matte, measure])
def test_a_broken_file_is_named_once(tmp_path, name, keep, read):
    path = tmp_path / name
    write_image(path, photo(60, 90))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(OSError, match=f"^cannot read '{path}': ") as caught:
        read(path)
    assert str(caught.value).count(name) == 1
