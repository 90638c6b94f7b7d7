import numpy as np
import pytest
import torch
from bounds import U, within
from dpp_oracle import ragged

from headrace.kernels.diversity import dpp
from headrace.kernels.diversity.similarity import blend, cosine, factor, gaussian, one_hot, theta_of


def test_cosine_leaves_zero_rows():
    rows = cosine(torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]]))
    assert within(rows, [[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]], U)


def test_blend_adds_the_parts_similarities():
    content = cosine(torch.randn(20, 6, generator=torch.Generator().manual_seed(1)))
    kinds = torch.arange(20) % 4 - 1
    rows = blend([(0.7, content), (0.3, one_hot(kinds))])
    assert rows.shape == (20, 9)
    same = (kinds[:, None] == kinds) & (kinds >= 0)
    # The weight's root and its product are rounded in both factors of each term; the terms sum to 1 at most.
    content, rows = content.double(), rows.double()
    assert within(rows @ rows.T, 0.7 * content @ content.T + 0.3 * same, 5 * U)


def test_gaussian_similarity():
    vectors = torch.randn(2, 15, 4, generator=torch.Generator().manual_seed(2))
    rows = gaussian(vectors, 0.8).double()
    expected = torch.exp(-(vectors[:, :, None] - vectors[:, None]).double().square().sum(-1) / (2 * 0.64))
    torch.testing.assert_close(rows @ rows.mT, expected, rtol=0, atol=1e-6)


def test_a_given_kernel_is_what_dpp_sees():
    """Greedy by determinants of the matrix itself."""
    rng = np.random.default_rng(3)
    root = rng.standard_normal((12, 12))
    kernel = root @ root.T / 12
    picked, _ = dpp(factor(torch.from_numpy(kernel)), torch.zeros(12), torch.tensor([0, 12]), 6, 0.0)
    chosen: list[int] = []
    for _ in range(6):
        left = [i for i in range(12) if i not in chosen]
        chosen.append(max(left, key=lambda i: np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1]))
    assert picked[0].tolist() == chosen


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, 5.0])
def test_the_papers_alpha_picks_alike(alpha):
    """Greedy by determinants of exp(alpha r_i) S_ij exp(alpha r_j)."""
    vectors, rewards, offsets = ragged([25], 16, 4)
    scaled = vectors.double().numpy() * np.exp(alpha * rewards.double().numpy())[:, None]
    kernel = scaled @ scaled.T
    chosen: list[int] = []
    for _ in range(8):
        left = [i for i in range(25) if i not in chosen]
        chosen.append(max(left, key=lambda i: np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1]))
    assert dpp(vectors, rewards, offsets, 8, theta_of(alpha))[0][0].tolist() == chosen


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: cosine(torch.zeros(3)), ValueError, "vectors: expected 2"),
        (lambda: one_hot(torch.zeros(3)), TypeError, "kinds: expected int64"),
        (lambda: blend([]), ValueError, "parts: expected at least 1"),
        (lambda: blend([(-1.0, torch.zeros(3, 2))]), ValueError, "parts: expected finite weights"),
        (lambda: blend([(1.0, torch.zeros(3, 2)), (1.0, torch.zeros(2, 2))]), ValueError, "parts: expected 3 rows"),
        (lambda: factor(torch.zeros(3, 2)), ValueError, "kernel: expected square"),
        (lambda: factor(torch.zeros(3, 3, dtype=torch.int64)), TypeError, "kernel: expected float32"),
        (lambda: factor(torch.tensor([[1.0, 2.0], [0.0, 1.0]])), ValueError, "kernel: expected a symmetric"),
        (lambda: factor(torch.tensor([[1.0, 2.0], [2.0, 1.0]])), ValueError, "kernel: expected no negative"),
        (lambda: factor(torch.full((2, 2), torch.nan)), ValueError, "kernel: expected finite"),
        (lambda: gaussian(torch.zeros(3, 2), 0.0), ValueError, "scale: expected"),
        (lambda: theta_of(-0.1), ValueError, "alpha: expected"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
