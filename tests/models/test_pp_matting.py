import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mattekit import encoders
from mattekit.models import PPMatting, PPMattingOutput, Preprocessing, pp_matting
from oracles import seeded
from oracles.networks import small, small_pyramid, trained_looking


@pytest.mark.parametrize(("encoder", "count"), [("hrnet_w18", 24_503_954), ("hrnet_w48", 86_197_934)])
def test_trainable_parameters(encoder, count):
    """Those of the authors' network; what nothing reads of its last exchange is not built here."""
    with torch.device("meta"):
        model, whole = pp_matting(encoder), getattr(encoders, encoder)()
    unread = [p.numel() for name, p in whole.named_parameters() if name.startswith(model.encoder.left_out)]
    assert unread
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == count - sum(unread)


@pytest.fixture(scope="module")
def reference():
    return np.load(seeded.PADDLESEG / "hrnet_w18_64x96.npz")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return seeded.write_pdparams(tmp_path_factory.mktemp("weights") / "w18.pdparams", "hrnet_w18")


@pytest.fixture(scope="module")
def seeded_w18(weights):
    return pp_matting("hrnet_w18", weights=weights).eval()


def image_of(reference):
    return torch.from_numpy(reference["input"]) * 0.5 + 0.5


def test_output_is_the_references(seeded_w18, reference):
    with torch.inference_mode():
        alpha, detail, logits = (part.numpy() for part in seeded_w18(image_of(reference)))
    probabilities = torch.from_numpy(logits).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, reference["semantic"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(detail, reference["detail"], rtol=0, atol=1e-4)
    assert (abs(alpha - reference["alpha"]) > 1e-3).mean() <= 0.001  # ties of the argmax


def test_every_layer_is_the_references(weights, reference):
    seeded_w18 = pp_matting(encoders.hrnet_w18(), weights=weights).eval()  # with the features that nothing reads
    with torch.inference_mode():
        features = seeded_w18.encoder(seeded_w18.normalise(image_of(reference)))
        pooled = seeded_w18.context.pooling(features[-1])
        context = seeded_w18.context(features[-1])
        detail_logits = seeded_w18.detail(features[:2], context.guidance, (64, 96))
    named = {f"encoder_{index}": feature for index, feature in enumerate(features)}
    named |= {f"context_block_{index + 1}": block for index, block in enumerate(context.guidance)}
    named |= {"pyramid_pooling": pooled, "semantic_logits": context.semantic_logits, "detail_logits": detail_logits}
    for name, layer in named.items():
        expected = reference[name]
        # another framework's sums, float32, up to some 150 layers deep
        np.testing.assert_allclose(layer.numpy(), expected, rtol=0, atol=1e-5 * abs(expected).max(), err_msg=name)


def test_forward_returns_the_same_in_training():
    model = small()
    image = torch.rand(2, 3, 64, 64)
    for mode in (True, False):
        output = model.train(mode)(image)
        assert isinstance(output, PPMattingOutput)
        assert [tuple(part.shape[1:]) for part in output] == [(1, 64, 64), (1, 64, 64), (3, 64, 64)]


def test_every_parameter_learns():
    model = small()
    output = model(torch.rand(2, 3, 64, 64))
    (output.detail.sum() + output.semantic_logits.square().sum()).backward()
    assert not {name for name, parameter in model.named_parameters() if parameter.grad is None}


def test_a_batch_of_one_says_why_it_cannot_train():
    with pytest.raises(ValueError, match="a batch of one image cannot train PyramidPooling"):
        small()(torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 96), (70, 101)])
def test_any_size(size):
    output = small().eval()(torch.rand(1, 3, *size))
    assert output.alpha.shape == (1, 1, *size)


def test_normalises_inside():
    model = small(preprocessing=Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))).eval()
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    image = torch.rand(1, 3, 32, 32)
    model(image)
    expected = (image - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(seen[0], expected)


def test_a_network_put_together_by_hand_normalises_as_its_encoder_expects():
    parts = small()
    assert parts.preprocessing == Preprocessing()
    parts.encoder.mean, parts.encoder.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    by_hand = PPMatting(parts.encoder, parts.context, parts.detail, parts.fusion)
    assert by_hand.preprocessing == Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    other = PPMatting(parts.encoder, parts.context, parts.detail, parts.fusion, preprocessing=Preprocessing())
    assert other.preprocessing == Preprocessing()


def test_an_encoders_statistics_that_are_no_numbers_are_named_as_its_own():
    """Such as those of an encoder that normalises by itself."""
    parts = small()
    parts.encoder.register_buffer("mean", torch.rand(1, 3, 1, 1))
    with pytest.raises(ValueError, match=r"(?s)encoder's mean must be three finite numbers, .*; give preprocessing"):
        PPMatting(parts.encoder, parts.context, parts.detail, parts.fusion)
    PPMatting(parts.encoder, parts.context, parts.detail, parts.fusion, preprocessing=Preprocessing())


@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_backward_hooks_are_called(kind):
    """Whoever draws where a network looks hooks its parts in evaluation mode."""
    model, called = small().eval(), []
    for name, gate in model.detail.gates.items():
        getattr(gate, kind)(lambda *_, name=name: called.append(name))
    model(torch.rand(1, 3, 32, 32)).detail.sum().backward()
    assert called == ["5", "3", "1"]


EITHER_ENCODER = pytest.mark.parametrize("network", [small, small_pyramid])


@EITHER_ENCODER
def test_what_the_context_branch_sees_of_a_tensor_is_one(network):
    """Whoever calls the parts one by one, as `figure5` does, may have a branch that takes nothing else."""
    model, image = shrunk_for_context(32, network), torch.rand(1, 3, 64, 96)
    coarse, size = model.seen_by_context(image, model.encoder(model.normalise(image))[-1])
    small = F.interpolate(image, (32, 48), mode="bilinear")
    torch.testing.assert_close(coarse, model.encoder(model.normalise(small))[-1])
    assert tuple(size) == (32, 48)


def shrunk_for_context(limit, network=small):
    return trained_looking(network(preprocessing=Preprocessing(context_short_side=limit)))


@EITHER_ENCODER
@torch.no_grad()
def test_the_context_branch_sees_the_image_shrunk(network):
    """Step by step: the parts run by hand, the encoder once for each size."""
    model = shrunk_for_context(48, network)
    image = torch.rand(2, 3, 72, 101)
    small_image = F.interpolate(image, (48, 101 * 48 // 72), mode="bilinear")
    logits, guidance = model.context(model.encoder(model.normalise(small_image))[-1], small_image.shape[-2:])
    detail = model.detail(model.encoder(model.normalise(image))[:2], guidance, (72, 101)).sigmoid()
    logits = F.interpolate(logits, (72, 101), mode="bilinear")
    output = model(image)
    torch.testing.assert_close(output.semantic_logits, logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(output.detail, detail, rtol=0, atol=1e-5)
    assert ((output.alpha - model.fusion(logits, detail)).abs() > 1e-5).float().mean() < 1e-3  # ties of the argmax


@EITHER_ENCODER
@torch.no_grad()
def test_a_small_image_is_not_shrunk_for_the_context_branch(network):
    model = shrunk_for_context(48, network)
    calls = []
    model.encoder.register_forward_pre_hook(lambda *_: calls.append(None))
    image = torch.rand(1, 3, 48, 80)
    seen = model(image)
    assert len(calls) == 1
    model.preprocessing = Preprocessing()
    for actual, expected in zip(seen, model(image), strict=True):
        assert actual.equal(expected)


@EITHER_ENCODER
@torch.no_grad()
def test_windows_know_the_shrunk_image(network):
    model = shrunk_for_context(64, network)
    image = torch.rand(1, 3, 150, 131)
    whole, encoded = model(image), model.encode(image)
    top, left, height, width = 37, 20, 64, 91
    window = model.decode(encoded, (top, left, height, width))
    for part, expected in zip(window[1:], whole[1:], strict=True):
        cut = expected[..., top : top + height, left : left + width]
        torch.testing.assert_close(part, cut, rtol=0, atol=1e-5)


@EITHER_ENCODER
def test_both_passes_of_the_encoder_learn(network):
    model = shrunk_for_context(32, network).train()
    output = model(torch.rand(2, 3, 64, 64))
    (output.detail.sum() + output.semantic_logits.square().sum()).backward()
    assert not {name for name, parameter in model.named_parameters() if parameter.grad is None}


def test_input_is_not_written_to():
    image = torch.rand(2, 3, 64, 64)
    before = image.clone()
    small()(image)
    assert image.equal(before)


def test_images_of_a_batch_do_not_meet():
    model = trained_looking(small())
    images = torch.rand(3, 3, 64, 96)
    together = model(images).detail
    for index in range(3):
        torch.testing.assert_close(model(images[index : index + 1]).detail[0], together[index], rtol=0, atol=1e-5)


def test_channels_last_agrees():
    model = trained_looking(small())
    image = torch.rand(2, 3, 64, 96)
    expected = model(image)
    actual = model.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(actual.detail, expected.detail, rtol=0, atol=1e-5)
    torch.testing.assert_close(actual.semantic_logits, expected.semantic_logits, rtol=1e-4, atol=1e-4)


def test_autocast_gives_full_precision_maps():
    model = trained_looking(small())
    image = torch.rand(2, 3, 64, 96)
    expected = model(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(image)
    assert {part.dtype for part in output} == {torch.float32}
    # bfloat16 rounds each of some 40 layers to 2^-9 of its size
    torch.testing.assert_close(output.detail, expected.detail, rtol=0, atol=0.05)


def test_runs_on_the_meta_device():
    """Where shapes and operations are counted without computing."""
    with torch.device("meta"):
        assert small().eval()(torch.rand(1, 3, 64, 96)).alpha.shape == (1, 1, 64, 96)


def test_weights_assigned_to_a_network_on_the_meta_device():
    """As torch loads large networks without making them first."""
    expected = small(preprocessing=Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))).eval()
    with torch.device("meta"):
        model = small(preprocessing=expected.preprocessing).eval()
    nn.ModuleList([model]).load_state_dict(nn.ModuleList([expected]).state_dict(), assign=True)
    image = torch.rand(1, 3, 64, 96)
    assert model(image).detail.equal(expected(image).detail)


def test_to_empty_leaves_the_normalisation():
    """Weights follow from a file, as networks are made that start without memory; mean and std are in none."""
    expected = small(preprocessing=Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    with torch.device("meta"):
        model = small(preprocessing=expected.preprocessing)
    model = nn.ModuleList([model]).to_empty(device="cpu")[0]
    model.load_state_dict(expected.state_dict())
    assert torch.equal(model.mean, expected.mean)
    assert torch.equal(model.std, expected.std)


def test_double_precision():
    model = trained_looking(small()).double()
    assert {part.dtype for part in model(torch.rand(1, 3, 32, 32, dtype=torch.double))} == {torch.double}


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.rand(1, 4, 64, 64), ValueError, r"image must have shape \(N, 3, H, W\), got \(1, 4, 64, 64\)"),
        (torch.rand(3, 64, 64), ValueError, r"image must have shape \(N, 3, H, W\), got \(3, 64, 64\)"),
        (torch.rand(1, 3, 64, 31), ValueError, r"image must have sides from 32 up, got \(1, 3, 64, 31\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), TypeError, "image must be floating-point, got torch.uint8"),
        (
            torch.full((1, 3, 64, 64), 255.0),
            ValueError,
            r"image must lie in \[0, 1\], got 255 to 255: did you pass 0..255",
        ),
        (np.zeros((1, 3, 64, 64)), TypeError, "image must be a torch.Tensor, got ndarray"),
    ],
)
def test_bad_images(image, error, message):
    with pytest.raises(error, match=message):
        small()(image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@torch.inference_mode()
def test_images_of_any_precision(dtype):
    model = trained_looking(small()).eval()
    image = torch.rand(1, 3, 32, 64).to(dtype)
    assert model(image).alpha.equal(model(image.float()).alpha)


class _Two(nn.Module):
    channels, strides = (8, 16), (2, 4)

    def __init__(self, give):
        super().__init__()
        self.give = give

    def forward(self, image):
        return self.give(
            [image.new_zeros(1, c, image.shape[2] // s, image.shape[3] // s) for c, s in ((8, 2), (16, 4))]
        )


@pytest.mark.parametrize(
    ("give", "error", "message"),
    [
        (lambda f: dict(enumerate(f)), TypeError, "encoder must return a list or tuple of features, got dict"),
        (lambda f: f[:1], ValueError, r"encoder must return features of its channels, \(8, 16\), got \(8,\)"),
        (lambda f: f[::-1], ValueError, r"encoder must return features of its channels, \(8, 16\), got \(16, 8\)"),
        (
            lambda f: [f[0], f[1][..., 1:]],
            ValueError,
            r"encoder must return features at its strides, \(2, 4\), got sizes \[\(16, 16\), \(8, 7\)\] of an image of",
        ),
    ],
)
def test_features_are_what_the_encoder_says(give, error, message):
    model = pp_matting(_Two(give)).eval()
    with pytest.raises(error, match=message):
        model(torch.rand(1, 3, 32, 32))


def test_an_encoder_has_two_features_at_least():
    encoder = _Two(list)
    encoder.channels = (8,)
    with pytest.raises(ValueError, match=r"encoder must have two features at least, got channels \(8,\)"):
        pp_matting(encoder)
    encoder.channels, encoder.strides = (8, 16), (2, 4, 8)
    with pytest.raises(ValueError, match=r"encoder must have a stride for each feature, got channels \(8, 16\)"):
        pp_matting(encoder)


def test_an_encoder_says_what_it_lacks():
    parts = small()
    with pytest.raises(TypeError, match="encoder must have channels and strides, which Conv2d lacks"):
        PPMatting(nn.Conv2d(3, 4, 1), parts.context, parts.detail, parts.fusion)
    with pytest.raises(TypeError, match=r"encoder must be a torch.nn.Module, got str"):
        PPMatting("hrnet_w18", parts.context, parts.detail, parts.fusion)


@pytest.mark.cuda
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_cuda_agrees_with_cpu(memory_format):
    model = trained_looking(small())
    image = torch.rand(2, 3, 64, 96)
    expected = model(image)
    actual = model.cuda().to(memory_format=memory_format)(image.cuda().to(memory_format=memory_format))
    torch.testing.assert_close(actual.detail.cpu(), expected.detail, rtol=0, atol=1e-3)  # TF32 convolutions
