"""The Open Inference Protocol (version 2) for every served model, so that its clients need no code of ours.

`charts` takes images; a champion, under its id, takes rows of its feature columns (or windows of rows, where it has
lags) and returns high, low and close of the next candle as logarithms of the price over the last close.

Source: Open Inference Protocol, REST (KServe project).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from app.api.charts import fit_in_float32
from app.api.problems import ApiError, InferenceProblem
from app.api.served import CHARTS, ServedModels
from ml.data.targets import TARGETS
from ml.errors import CandleworksError, PredictionError
from ml.forecasting.chart_models import HORIZON, NAMES, SHAPE
from ml.search.cases import TestCase

router = APIRouter(prefix="/v2", tags=["inference"])
VERSION = "1"
_IMAGES, _ROWS, _PREDICTIONS = "chart", "rows", "predictions"
#: Rows of one request.
_MOST_ROWS = 10_000


class Tensor(BaseModel):
    """An input or output of a model; -1 in a shape is any number."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, list[str]] | None = None


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]
    models: list[str] = Field(description="Names of the served models.")


class ModelMetadata(BaseModel):
    """A model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    parameters: dict[str, str]


class Live(BaseModel):
    """The process serves."""

    live: bool


class Ready(BaseModel):
    """Requests can be answered."""

    ready: bool


class ModelReady(BaseModel):
    """The model can be asked."""

    name: str
    ready: bool


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore")


class InputParameters(_Loose):
    """Parameters of an input."""

    content_type: Literal["base64"] | None = None


class RequestInput(_Loose):
    """An input tensor: `data` in row-major order, flat or nested."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str
    data: list[Any]
    parameters: InputParameters | None = None


class RequestOutput(_Loose):
    """An output that is asked for."""

    name: str


class InferenceRequest(_Loose):
    """The body of a request."""

    id: str | None = None
    inputs: list[RequestInput] = Field(min_length=1)
    outputs: list[RequestOutput] | None = None


class ResponseOutput(BaseModel):
    """An output tensor, flat in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]
    parameters: dict[str, list[str]]


class InferenceResponse(BaseModel):
    """The answer."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


@dataclass(frozen=True)
class Signature:
    """What a model takes and returns.

    Attributes:
        identity: id of the saved model.
        datatypes: the input's, the first one is that of its metadata.
        shape: the input's, without the number of rows.
        names: of the values of a row of the output.
    """

    name: str
    identity: str
    platform: str
    datatypes: tuple[str, ...]
    input_name: str
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    output_type: str
    names: tuple[str, ...]
    details: dict[str, str]

    def metadata(self) -> ModelMetadata:
        columns = {"columns": list(self.columns)} if self.columns else None
        return ModelMetadata(
            name=self.name,
            versions=[VERSION],
            platform=self.platform,
            inputs=[
                Tensor(name=self.input_name, datatype=self.datatypes[0], shape=[-1, *self.shape], parameters=columns)
            ],
            outputs=[
                Tensor(
                    name=_PREDICTIONS,
                    datatype=self.output_type,
                    shape=[-1, len(self.names)],
                    parameters={"names": list(self.names)},
                )
            ],
            parameters=self.details,
        )


def _signature_of_charts(identity: str) -> Signature:
    return Signature(
        name=CHARTS,
        identity=identity,
        platform="candleworks_charts",
        datatypes=("UINT8", "BOOL", "BYTES"),
        input_name=_IMAGES,
        shape=SHAPE,
        columns=(),
        output_type="FP32",
        names=NAMES,
        details={"model_id": identity, "horizon_candles": str(HORIZON), "unit": "percent of the last close"},
    )


def _signature_of_champion(identity: str, case: TestCase) -> Signature:
    columns = case.input_columns
    return Signature(
        name=identity,
        identity=identity,
        platform=f"candleworks_{case.model}",
        datatypes=("FP64", "FP32"),
        input_name=_ROWS,
        shape=(len(columns),) if case.lags == 1 else (case.lags, len(columns)),
        columns=columns,
        output_type="FP64",
        names=TARGETS[case.target].labels,
        details={"series": str(case.series), "target": case.target, "unit": "logarithm over the last close"},
    )


def _signature(served: ServedModels, name: str, asked_version: str | None) -> Signature:
    """What a served model takes.

    Raises:
        ApiError: there is no such model, or no such version of it.
    """
    known = served.names()
    if name not in known:
        listed = ", ".join(known) or "none"
        raise ApiError(404, "unknown-model", f"No model {name} is served. There are: {listed}.")
    if asked_version not in (None, VERSION):
        raise ApiError(404, "unknown-model", f"Model {name} has no version {asked_version}, only {VERSION}.")
    if name == CHARTS:
        return _signature_of_charts(served.chart_model_id())
    return _signature_of_champion(name, served.case_of(name))


_ERRORS: dict[int | str, dict[str, Any]] = {404: {"model": InferenceProblem}}


@router.get("", response_model=ServerMetadata)
def server_metadata(request: Request) -> ServerMetadata:
    """The server and the names of its models."""
    served: ServedModels = request.app.state.served
    return ServerMetadata(name="candleworks", version=version("candleworks"), extensions=[], models=served.names())


@router.get("/health/live", response_model=Live)
def live() -> Live:
    """Whether the process serves."""
    return Live(live=True)


@router.get("/health/ready", response_model=Ready, responses={503: {"model": Ready}})
def ready(request: Request) -> Response:
    """Whether the models can be asked."""
    served: ServedModels = request.app.state.served
    try:
        served.names()
        is_ready = True
    except (ApiError, CandleworksError):
        is_ready = False
    return Response(orjson.dumps({"ready": is_ready}), 200 if is_ready else 503, media_type="application/json")


@router.get("/models/{name}", response_model=ModelMetadata, responses=_ERRORS)
@router.get("/models/{name}/versions/{model_version}", response_model=ModelMetadata, responses=_ERRORS)
def model_metadata(request: Request, name: str, model_version: str | None = None) -> ModelMetadata:
    """What a model takes and returns."""
    return _signature(request.app.state.served, name, model_version).metadata()


@router.get("/models/{name}/ready", response_model=ModelReady, responses=_ERRORS)
@router.get("/models/{name}/versions/{model_version}/ready", response_model=ModelReady, responses=_ERRORS)
def model_ready(request: Request, name: str, model_version: str | None = None) -> ModelReady:
    """Whether a model can be asked."""
    _signature(request.app.state.served, name, model_version)
    return ModelReady(name=name, ready=True)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceRequest"}}},
    }
}


@router.post("/models/{name}/infer", response_model=InferenceResponse, responses=_ERRORS, openapi_extra=_BODY)
@router.post(
    "/models/{name}/versions/{model_version}/infer",
    response_model=InferenceResponse,
    responses=_ERRORS,
    openapi_extra=_BODY,
)
async def infer(request: Request, name: str, model_version: str | None = None) -> Response:
    """Predict rows."""
    served: ServedModels = request.app.state.served
    body = await request.body()
    return await run_in_threadpool(_inferred, served, name, model_version, body)


def _inferred(served: ServedModels, name: str, model_version: str | None, body: bytes) -> Response:
    signature = _signature(served, name, model_version)
    try:
        # Not pydantic's own parser: millions of numbers stay as orjson has read them.
        asked = InferenceRequest.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise _wrong(f"The body is no JSON: {error}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        raise _wrong(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    rows = _rows(signature, asked)
    try:
        predicted = _predicted(served, signature, rows)
    except PredictionError as error:
        raise _wrong(str(error)) from None
    output = {
        "name": _PREDICTIONS,
        "datatype": signature.output_type,
        "shape": list(predicted.shape),
        "data": predicted.ravel().tolist(),
        "parameters": {"names": list(signature.names)},
    }
    identity = {} if asked.id is None else {"id": asked.id}
    content = {"model_name": name, "model_version": VERSION, **identity, "outputs": [output]}
    headers = {"X-Model-Id": signature.identity, "Cache-Control": "no-store"}
    return Response(orjson.dumps(content), 200, headers, "application/json")


def _predicted(
    served: ServedModels, signature: Signature, rows: npt.NDArray[Any]
) -> npt.NDArray[np.float64] | npt.NDArray[np.float32]:
    if signature.name == CHARTS:
        return served.predict_charts(signature.identity, rows).astype(np.float32)
    windows = rows if rows.ndim == 3 else rows[:, None, :]
    return served.predict(signature.identity, windows.astype(np.float32))


def _wrong(detail: str) -> ApiError:
    return ApiError(400, "invalid", f"{detail}. GET /v2/models/NAME shows what the model takes.")


def _rows(signature: Signature, asked: InferenceRequest) -> npt.NDArray[Any]:
    """The rows of the one input that a model has.

    Raises:
        ApiError: name, type, shape or values are not those of the model.
    """
    if len(asked.inputs) != 1:
        raise _wrong(f"Expected one input, {signature.input_name}, was {len(asked.inputs)}")
    (given,) = asked.inputs
    unknown = [output.name for output in asked.outputs or () if output.name != _PREDICTIONS]
    if given.name != signature.input_name or unknown:
        wanted, found = (_PREDICTIONS, unknown[0]) if unknown else (signature.input_name, given.name)
        raise _wrong(f"{signature.name} has no tensor {found}, but {wanted}")
    if given.datatype not in signature.datatypes:
        raise _wrong(f"{given.name}: expected datatype {' or '.join(signature.datatypes)}, was {given.datatype}")
    count = given.shape[0]
    if given.datatype == "BYTES":
        return _of_bytes(signature, given)
    if tuple(given.shape[1:]) != signature.shape or not 1 <= count <= _MOST_ROWS:
        raise _wrong(f"{given.name}: expected shape {[-1, *signature.shape]}, was {given.shape}")
    return _values(signature, given)


def _values(signature: Signature, given: RequestInput) -> npt.NDArray[Any]:
    """The values of an input in its shape, which is that of the model."""
    is_image = signature.name == CHARTS
    try:
        values = np.array(given.data)
        if values.dtype.kind not in ("biu" if is_image else "iuf"):
            raise ValueError("a value is no number")
        values = values.reshape(given.shape)
    except (ValueError, OverflowError) as error:
        raise _wrong(f"{given.name}: data does not fill shape {given.shape}: {error}") from None
    if is_image:
        if values.dtype.kind != "b" and ((values < 0) | (values > 1)).any():
            raise _wrong(f"{given.name}: a pixel is neither 0 nor 1")
        return values.astype(np.uint8)
    if not fit_in_float32(values):
        raise _wrong(f"{given.name}: a value is not finite")
    return values.astype(np.float64)


def _of_bytes(signature: Signature, given: RequestInput) -> npt.NDArray[np.uint8]:
    """Images as base64 of their bytes, one of 0 or 1 per pixel, in row-major order: one text per image.

    Raises:
        ApiError: the parameters do not say base64, or a text is not an image.
    """
    if given.parameters is None or given.parameters.content_type != "base64":
        raise _wrong(f'{given.name}: BYTES needs parameters {{"content_type": "base64"}}')
    try:
        images = [np.frombuffer(base64.b64decode(text, validate=True), np.uint8) for text in given.data]
        stacked = np.stack(images).reshape(len(images), *signature.shape)
    except (ValueError, TypeError, binascii.Error):
        raise _wrong(f"{given.name}: expected base64 texts of {np.prod(signature.shape)} bytes each") from None
    if (
        given.shape[0] != len(images)
        or tuple(given.shape[1:]) not in ((), (1,), signature.shape)
        or (stacked > 1).any()
    ):
        raise _wrong(f"{given.name}: expected shape {[-1]} and pixels of 0 and 1, was {given.shape}")
    return stacked
