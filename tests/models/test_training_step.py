"""The training step, network and losses together, in mixed precision and compiled."""

import copy

import pytest
import torch

from mattekit.losses import pp_matting_loss
from oracles.networks import of_convolutions, small


def batch(device="cpu"):
    image = torch.rand(4, 3, 64, 64, device=device)
    alpha = (torch.rand(4, 1, 64, 64, device=device) * 3 - 1).clamp(0, 1)
    trimap = torch.full((4, 1, 64, 64), 128, dtype=torch.uint8, device=device)
    trimap[..., :20], trimap[..., 44:] = 0, 255
    return image, alpha, trimap, image.flip(0), image.flip(1)


def gradients(model, batch, step):
    """The losses and every parameter's gradient after one step, on a copy of the model."""
    model = copy.deepcopy(model).train()
    losses = step(model, *batch)
    losses.total.backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def eager(model, image, *truth):
    return pp_matting_loss(model(image), *truth)


def mixed(model, image, *truth):
    with torch.autocast(image.device.type, dtype=torch.bfloat16):
        return pp_matting_loss(model(image), *truth)


def angle_and_length(actual, expected):
    """Of all gradients as one vector: cosine of the angle to the expected one, and the ratio of lengths."""
    a = torch.cat([actual[name].double().flatten() for name in expected])
    b = torch.cat([gradient.double().flatten() for gradient in expected.values()])
    return (a @ b / (a.norm() * b.norm())).item(), (a.norm() / b.norm()).item()


def rounded(model):
    """The same network with its weights rounded to bfloat16, still computing in float32."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return model


def of(part, gradients):
    return {name: gradient for name, gradient in gradients.items() if name.startswith(part)}


@pytest.mark.parametrize("seed", range(3))
def test_mixed_precision_moves_gradients_no_more_than_rounding_the_weights_does(seed):
    """How far bfloat16 may move a gradient depends on the network, so the network itself is the yardstick.

    In an untrained encoder of some forty layers, ReLUs near zero flip at the least rounding, and its gradient turns by
    tens of degrees: so it does when only image and weights are rounded to bfloat16 and all arithmetic is float32. The
    mixed step's error may be three times that error (over eight seeds: 0.65 to 2.0 times), and where the way is short,
    in the detail branch, gradients agree to a cosine of 0.999.
    """
    torch.manual_seed(seed)
    model, (image, *truth) = small(), batch()
    expected_losses, expected = gradients(model, (image, *truth), eager)
    losses, actual = gradients(model, (image, *truth), mixed)
    _, yardstick = gradients(rounded(model), (image.bfloat16().float(), *truth), eager)

    assert {loss.dtype for loss in losses} == {torch.float32}
    assert {gradient.dtype for gradient in actual.values()} == {torch.float32}
    assert actual.keys() == expected.keys()
    assert losses.total.item() == pytest.approx(expected_losses.total.item(), rel=0.01)
    for part in ("encoder", "context", "detail"):
        error = sum((actual[name] - gradient).square().sum() for name, gradient in of(part, expected).items())
        allowed = sum((yardstick[name] - gradient).square().sum() for name, gradient in of(part, expected).items())
        assert error.sqrt() < 3 * allowed.sqrt(), part
    cosine, length = angle_and_length(actual, of("detail", expected))
    assert cosine > 0.999
    assert length == pytest.approx(1, abs=0.03)


def test_the_mixed_step_compiles_in_one_graph():
    """Forward, losses and backward, traced as torch.compile traces them, give the gradients of the eager step."""
    model, given = of_convolutions(), batch()
    compiled = torch.compile(mixed, fullgraph=True, backend="aot_eager")
    losses, actual = gradients(model, given, compiled)
    expected_losses, expected = gradients(model, given, mixed)
    assert losses.total.item() == pytest.approx(expected_losses.total.item(), rel=1e-4)
    cosine, length = angle_and_length(actual, expected)
    assert cosine > 0.9999
    assert length == pytest.approx(1, abs=0.001)


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, on importing its compiler
@pytest.mark.filterwarnings("ignore:.*TensorFloat32:UserWarning")  # its compiler's advice
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_cuda_mixed_compiled_step(memory_format):
    """The step that the benchmark times: compiled for the GPU, losses near those of eager float32."""
    model, given = small().cuda().to(memory_format=memory_format), batch("cuda")
    expected_losses, expected = gradients(model, given, eager)
    losses, actual = gradients(model, given, torch.compile(mixed, fullgraph=True))
    assert losses.total.item() == pytest.approx(expected_losses.total.item(), rel=0.01)
    cosine, _ = angle_and_length(actual, of("detail", expected))
    assert cosine > 0.999
