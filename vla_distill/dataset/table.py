"""Parquet files, with errors that name the file and the column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_distill.dataset import layout
from vla_distill.dataset.errors import DatasetError


def frame_schema(distilled: bool = False) -> pa.Schema:
    """Columns of the data files: one row a frame."""
    vectors = layout.VECTORS | (layout.DISTILLED if distilled else {})
    fields = [pa.field(key, pa.list_(pa.float32(), len(names))) for key, names in vectors.items()]
    fields += [pa.field(layout.DISTURBANCE, pa.int64()), pa.field("timestamp", pa.float32())]
    names = ("frame_index", "episode_index", "index", "task_index")
    return pa.schema([*fields, *(pa.field(name, pa.int64()) for name in names)])


def frame_table(columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Rows of a data file from arrays of shape (T, n) or (T,)."""
    arrays: list[pa.Array] = []
    schema = frame_schema(layout.CHUNK in columns)
    for item in schema:
        values = np.ascontiguousarray(columns[item.name])
        if pa.types.is_fixed_size_list(item.type):
            flat = pa.array(values.ravel(), item.type.value_type)
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, item.type.list_size))
        else:
            arrays.append(pa.array(values, item.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def tasks_table(instructions: Sequence[str]) -> pa.Table:
    """``meta/tasks.parquet``: a pandas frame indexed by the instruction (LeRobot's "task")."""
    table = pa.table(
        {
            "task_index": pa.array(range(len(instructions)), pa.int64()),
            "task": pa.array(list(instructions), pa.string()),
        }
    )

    def column(name: str, pandas_type: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": pandas_type,
            "numpy_type": numpy_type,
            "metadata": None,
        }

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [
            column("None", "unicode", "object") | {"name": None, "metadata": {"encoding": "UTF-8"}}
        ],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def write(table: pa.Table, path: Path) -> None:
    """Write a table; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy")


def read(path: Path, required: Sequence[str]) -> pa.Table:
    """Read a parquet file.

    Raises:
        DatasetError: the file is missing or damaged, or lacks a required column.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path}", got=error, expected="a readable parquet file") from error
    for name in required:
        if name not in table.column_names:
            raise DatasetError(f"{path}: column", got=table.column_names, expected=name)
    return table


def matrix(table: pa.Table, name: str, width: int, path: Path) -> NDArray[np.float32]:
    """A column of equal lists as an array of shape (rows, width), float32.

    Raises:
        DatasetError: the column holds no lists of that length, or numbers that are not finite.
    """
    column = table.column(name).combine_chunks()
    kind = column.type
    listed = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    if not listed or column.null_count or not _is_number(kind.value_type):
        raise DatasetError(f"{path}: column {name}", got=kind, expected=f"lists of {width} numbers")
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        row = np.flatnonzero(lengths != width)[0]
        raise DatasetError(
            f"{path}: column {name} in row {row}",
            got=f"{lengths[row]} numbers",
            expected=f"{width} numbers",
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    result = values.reshape(-1, width).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if wrong.size:
        row = wrong[0]
        raise DatasetError(
            f"{path}: column {name} in row {row}",
            got=result[row].tolist(),
            expected="finite numbers",
        )
    return result


def integers(table: pa.Table, name: str, path: Path) -> NDArray[np.int64]:
    """A column of integers as an array of shape (rows,), int64.

    Raises:
        DatasetError: the column holds something else, or gaps.
    """
    column = table.column(name)
    if not pa.types.is_integer(column.type) or column.null_count:
        got = f"{column.type} with {column.null_count} gaps"
        raise DatasetError(f"{path}: column {name}", got=got, expected="integers without gaps")
    return column.to_numpy().astype(np.int64)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)
