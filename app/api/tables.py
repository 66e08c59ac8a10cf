"""Whole tables of the snapshot as their Parquet files: all rows and columns with their types, for data frames."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from app.api.lists import series_and_version
from app.api.problems import ApiError
from app.api.snapshots import answer
from ml.errors import StoreError
from ml.forecasting import published
from ml.store import Store

router = APIRouter(prefix="/v1/tables", tags=["snapshot"])
PARQUET = "application/vnd.apache.parquet"


class Tables(BaseModel):
    """Names of the tables of a version."""

    items: list[str]


@router.get("", response_model=Tables)
def list_tables(request: Request) -> Response:
    """The tables of the version."""
    snapshot = series_and_version(request)
    store: Store = request.app.state.snapshots.store
    return answer(request, snapshot, lambda: orjson.dumps({"items": published.table_names(store, snapshot.version)}))


@router.get("/{name}", response_class=Response, responses={200: {"content": {PARQUET: {}}}})
def one_table(request: Request, name: Annotated[str, Path(description="Name of a table.")]) -> Response:
    """A table as a Parquet file."""
    snapshot = series_and_version(request)
    store: Store = request.app.state.snapshots.store
    names = published.table_names(store, snapshot.version)
    if name not in names:
        raise ApiError(404, "unknown-table", f"There is no table {name}. There are: {', '.join(names)}.")

    def content() -> bytes:
        try:
            return published.table_file(store, snapshot.version, name)
        except FileNotFoundError:
            raise StoreError(f"Version {snapshot.version} was removed by newer ones meanwhile. Ask again.") from None

    return answer(request, snapshot, content, PARQUET)
