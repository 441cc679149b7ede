"""The fixed first convolution: what its filters are, and that they stay."""

import keras
import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.models import audit, whitening
from smartgrowth.models.network import Network

MEAN, VARIANCE = [100.0, 120.0, 140.0], [900.0, 1600.0, 2500.0]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth noise, uint8 (40, 12, 12, 3): neighbors are correlated."""
    noise = np.random.default_rng(0).normal(128, 60, (40, 14, 14, 3))
    smooth = noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]
    smooth = (smooth[:, :, :-2] + smooth[:, :, 1:-1] + smooth[:, :, 2:]) / 9
    return np.clip(smooth * 2 - 128, 0, 255).astype(np.uint8)


def whitened(images, name="resnet", **options):
    network = Network(name, 3, **({"width": 8, "depth": 1} | options))
    model = network.build(MEAN, VARIANCE)
    whitening.whiten(model, images, np.arange(len(images)))
    return model


def test_the_responses_of_its_filters_are_uncorrelated(images):
    model = whitened(images, width=54)
    first = model.layers[2]
    inner = keras.Model(model.input, first.output)
    # Without the border, where the convolution reads zeros.
    found = np.asarray(inner(images))[:, 1:-1, 1:-1, :27].reshape(-1, 27)
    moments = found.T @ found / len(found)
    scale = np.sqrt(np.diag(moments))
    off = moments / np.outer(scale, scale) - np.eye(27)
    assert np.abs(off).max() < 0.02
    assert (np.diff(np.diag(moments)) < 1e-6).all()  # the strongest first


def test_each_filter_has_its_negative_and_others_stay_random(images):
    kernel = np.asarray(whitened(images, width=8).layers[2].kernel)
    np.testing.assert_allclose(kernel[..., :4], -kernel[..., 4:])
    assert np.linalg.norm(kernel[..., 0]) == pytest.approx(np.sqrt(2), 1e-5)
    kernel = np.asarray(whitened(images, width=60).layers[2].kernel)
    np.testing.assert_allclose(kernel[..., :27], -kernel[..., 27:54])
    assert np.abs(kernel[..., 54:]).max() > 0


def test_it_is_not_trained_and_all_else_is(images):
    model = whitened(images)
    frozen = [v.path for v in model.non_trainable_variables]
    assert model.layers[2].kernel.path in frozen
    plain = Network("resnet", 3, width=8, depth=1).build(MEAN, VARIANCE)
    assert len(model.trainable_variables) == len(plain.trainable_variables) - 1
    assert [v.shape for v in model.variables] == [
        v.shape for v in plain.variables
    ]


def test_the_audit_says_where_its_filters_are_from(images):
    found = {
        finding.rule: finding
        for finding in audit.audit(whitened(images), 1, 32)
    }
    assert found["no pretrained weights"].passed
    first = whitened(images).layers[2].name.rstrip("_0123456789")
    text = found["no pretrained weights"].detail
    assert text.startswith(f"drawn from --seed, of {first}")


def test_a_network_without_a_first_convolution_is_refused(images):
    with pytest.raises(UserError, match="--whiten: --model=mlp does not begin"):
        whitened(images, "mlp")
