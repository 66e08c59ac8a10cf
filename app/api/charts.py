"""Predictions on charts: images or candles in, three percentages over the next 30 candles out.

The three encodings of a body lead to the same images, so to the same answer. All or nothing: with one bad chart there
is no answer.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.api.problems import ApiError, Fault
from app.api.served import ServedModels
from ml.forecasting.chart_models import HORIZON, LAGS, NAMES, PACKED_BYTES, SHAPE, Images, draw_charts, unpack

router = APIRouter(prefix="/v1/predict", tags=["charts"])
MOST_CHARTS = 256
BINARY = "application/octet-stream"
_BODY = "`charts` is a list of {bits}, `candles` a list of charts of 200 candles [open, high, low, close, volume]"
#: Characters of the packed bits of an image in base64.
_CHARACTERS = PACKED_BYTES * 4 // 3


class Changes(BaseModel):
    """Percent against the last close."""

    maxRisePct: float
    maxDeclinePct: float
    endChangePct: float


class ChartPrediction(BaseModel):
    """The prediction for one chart."""

    predictions: Changes


_CHART = {
    "type": "object",
    "required": ["bits"],
    "additionalProperties": False,
    "properties": {
        "bits": {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": _CHARACTERS,
            "maxLength": _CHARACTERS,
            "description": "base64(numpy.packbits(image)), image (200, 150, 3) of 0 and 1: time, price, channel.",
        }
    },
}
_CANDLE = {"type": "array", "items": {"type": "number"}, "minItems": 5, "maxItems": 5}
_CANDLES = {"type": "array", "minItems": LAGS, "maxItems": LAGS, "items": _CANDLE}


def _many(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": MOST_CHARTS, "items": of}


def _one_of(name: str, of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: _many(of)}}


_EXAMPLES = {
    "white": {"value": {"charts": [{"bits": "A" * _CHARACTERS}]}},
    "candles": {"value": {"candles": [[[100.0, 101.0, 99.0, 100.5, 10.0]] * LAGS]}},
}
_REQUEST = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [_one_of("charts", _CHART), _one_of("candles", _CANDLES)]},
            "examples": _EXAMPLES,
        },
        BINARY: {"schema": {"type": "string", "format": "binary", "description": f"n x {PACKED_BYTES} bytes."}},
    },
}


@router.post(
    "/charts",
    response_model=list[ChartPrediction],
    openapi_extra={"requestBody": _REQUEST},
    responses={415: {"description": "Another content type"}},
)
async def predict_charts(request: Request) -> Response:
    """Largest rise, largest decline and end change over the next 30 candles, per chart, in the order of the request.

    The rise is never below the end, the decline never above it; neither is clamped at 0.
    """
    served: ServedModels = request.app.state.served
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    return await run_in_threadpool(_answer, served, kind, body)


def _answer(served: ServedModels, kind: str, body: bytes) -> Response:
    images = _images_of(kind, body)
    identity = served.chart_model_id()
    predicted = served.predict_charts(identity, images)
    items = [{"predictions": dict(zip(NAMES, row, strict=True))} for row in predicted.tolist()]
    headers = {"X-Model-Id": identity, "X-Horizon-Candles": str(HORIZON), "Cache-Control": "no-store"}
    return Response(orjson.dumps(items), 200, headers, "application/json")


def _images_of(kind: str, body: bytes) -> Images:
    """The images (n, 200, 150, 3) of a body.

    Raises:
        ApiError: it has another form, or a chart of it is bad.
    """
    if kind == BINARY:
        return _unpacked(body)
    if kind != "application/json":
        raise ApiError(
            415, "unknown-encoding", f"Send application/json or {BINARY}, not {kind or 'a body without type'}."
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid([], f"The body is no JSON: {error}") from None
    readers = {"charts": _from_bits, "candles": _from_candles}
    name = next(iter(content), None) if isinstance(content, dict) and len(content) == 1 else None
    if name not in readers:
        raise _invalid([], f"The body is an object with one key: {_BODY}")
    charts = content[name]
    if not isinstance(charts, list) or not 1 <= len(charts) <= MOST_CHARTS:
        raise _invalid([name], f"Expected a list of 1 to {MOST_CHARTS} charts")
    return readers[name](charts)


def _invalid(loc: list[str | int], message: str) -> ApiError:
    return _refused([Fault(loc=loc, msg=message)])


def _refused(faults: list[Fault]) -> ApiError:
    first = faults[0]
    where = f"{'.'.join(map(str, first.loc))}: " if first.loc else ""
    detail = f"{where}{first.msg}. No chart was predicted; /docs has examples."
    return ApiError(422, "invalid", detail, errors=faults)


def _unpacked(body: bytes) -> Images:
    count, rest = divmod(len(body), PACKED_BYTES)
    if rest or not 1 <= count <= MOST_CHARTS:
        raise _invalid([], f"Expected 1 to {MOST_CHARTS} charts of {PACKED_BYTES} bytes, was {len(body)} bytes")
    return unpack(np.frombuffer(body, np.uint8).reshape(count, PACKED_BYTES))


def _from_bits(charts: list[Any]) -> Images:
    faults, packed = [], []
    for place, chart in enumerate(charts):
        try:
            if not isinstance(chart, dict) or chart.keys() != {"bits"} or not isinstance(chart["bits"], str):
                raise ValueError("Expected {bits: text}")
            content = base64.b64decode(chart["bits"], validate=True)
            if len(content) != PACKED_BYTES:
                raise ValueError(f"Expected {PACKED_BYTES} bytes, was {len(content)}")
            packed.append(content)
        except (ValueError, binascii.Error) as error:
            loc = ["charts", place, *(["bits"] if isinstance(chart, dict) and "bits" in chart else [])]
            faults.append(Fault(loc=loc, msg=str(error)))
    if faults:
        raise _refused(faults)
    return unpack(np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), PACKED_BYTES))


def _from_candles(charts: list[Any]) -> Images:
    faults, windows = [], []
    for place, chart in enumerate(charts):
        problem = ""
        try:
            window = numbers(chart)
            problem = _problem_of(window)
        except (ValueError, TypeError, OverflowError):
            problem = f"Expected {LAGS} candles of 5 numbers"
        if problem:
            faults.append(Fault(loc=["candles", place], msg=problem))
        else:
            windows.append(window)
    if faults:
        raise _refused(faults)
    return draw_charts(np.stack(windows).astype(np.float32))


def numbers(values: Any) -> npt.NDArray[np.float64]:
    """Nested lists of numbers as an array.

    Raises:
        ValueError: they are ragged, or a value is no number: NumPy would take text and truth for numbers.
    """
    array = np.array(values, dtype=object)
    if not all(type(value) in (int, float) for value in array.ravel()):
        raise ValueError("a value is no number")
    return array.astype(np.float64)


def fit_in_float32(values: npt.NDArray[Any]) -> bool:
    """Whether all values are finite numbers of the size that models take."""
    return bool((np.abs(values) <= np.finfo(np.float32).max).all())  # not so for NaN


def _problem_of(window: npt.NDArray[np.float64]) -> str:
    """The fault of the candles of one chart; "" if there is none."""
    if window.shape != (LAGS, 5):
        return f"Expected {LAGS} candles of 5 numbers, was {' x '.join(map(str, window.shape)) or 'a number'}"
    opens, high, low, close, volume = window.T
    if not fit_in_float32(window) or not (window[:, :4] > 0).all():
        return "A price is not a positive number"
    if (low > np.minimum(opens, close)).any() or (high < np.maximum(opens, close)).any():
        return "A candle has a low above, or a high below, its open or close"
    return "A volume is negative" if (volume < 0).any() else ""


assert np.prod(SHAPE) == PACKED_BYTES * 8
