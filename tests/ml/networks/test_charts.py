"""Pictures of candles: what is drawn where, in 0 and 1 only, by NumPy and by the network alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

pytestmark = pytest.mark.usefixtures("keras_on_cpu")


def random_candles(windows: int, lags: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (windows, lags)), axis=1))
    opens = close * np.exp(random.normal(0, 0.005, close.shape))
    high = np.maximum(opens, close) * np.exp(random.exponential(0.003, close.shape))
    low = np.minimum(opens, close) * np.exp(-random.exponential(0.003, close.shape))
    return np.stack([opens, high, low, close, random.exponential(10, close.shape)], axis=2).astype(np.float32)


def plain_picture(window: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """One picture, pixel by pixel, from the description alone."""
    picture = np.zeros((200, 150, 3))
    candles = window.astype(float)
    bottom, top, most = candles[:, 2].min(), candles[:, 1].max(), candles[:, 4].max()
    for column in range(200):
        opens, high, low, close, volume = candles[column * len(candles) // 200]
        at = [int((price - bottom) / (top - bottom) * 149) for price in (opens, high, low, close)]
        picture[column, min(at[0], at[3]) : max(at[0], at[3]) + 1, 0] = 1
        picture[column, at[2] : at[1] + 1, 1] = 1
        picture[column, : int(volume / most * 149) + 1, 2] = 1
    return picture


@pytest.mark.parametrize("lags", [30, 200])
def test_pictures_are_those_of_the_description(lags: int) -> None:
    from ml.networks.charts import chart_rows, draw  # noqa: PLC0415

    candles = random_candles(4, lags)
    pictures = draw(np, chart_rows(candles))
    assert pictures.shape == (4, 200, 150, 3)
    assert set(np.unique(pictures.astype(int))) == {0, 1}
    for picture, window in zip(pictures, candles, strict=True):
        np.testing.assert_array_equal(picture, plain_picture(window))
        # The window's own extremes touch both edges.
        assert picture[:, 0, 1].any()
        assert picture[:, 149, 1].any()


def test_the_network_draws_to_the_pixel_what_numpy_draws() -> None:
    import keras  # noqa: PLC0415

    from ml.networks.charts import Chart, chart_rows, draw  # noqa: PLC0415

    places = chart_rows(random_candles(3, 30))
    drawn = keras.ops.convert_to_numpy(Chart(200, 150)(places))
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, draw(np, places))


def test_windows_without_movement_or_trade_have_a_picture() -> None:
    from ml.networks.charts import chart_rows, draw  # noqa: PLC0415

    flat = np.full((1, 30, 5), 7, dtype=np.float32)
    flat[:, :, 4] = 0
    picture = draw(np, chart_rows(flat))[0]
    assert picture[:, :, 2].sum() == 0
    np.testing.assert_array_equal(picture[:, :, :2].sum(axis=1), 1)


def test_a_picture_does_not_know_what_its_prices_are_counted_in() -> None:
    from ml.networks.charts import chart_rows  # noqa: PLC0415

    candles = random_candles(5, 30).astype(np.float64)
    np.testing.assert_array_equal(chart_rows(candles), chart_rows(candles * 4))
