"""The tables, and how a cell's place is packed into one number."""

from __future__ import annotations

__all__ = ["CONDITION_FAILED", "SCHEMA", "SCHEMA_VERSION", "pack_cell", "unpack_cell"]

#: In a row's assignment: the member's condition failed; one failed cell stands for it.
CONDITION_FAILED = 255

SCHEMA_VERSION = 3

#: Version 3, which differs from 2 in an index. `migrations` makes it of older ones.
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;

-- The input, ingested once. `key` never changes; `position` is the row's place in the input today.
CREATE TABLE rows (
    key INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    row_id TEXT NOT NULL UNIQUE,
    assigned BLOB NOT NULL,        -- one byte per member of the plan: its number of samples
    checksum INTEGER NOT NULL,     -- of the record, in every table: see `sealing`
    data BLOB NOT NULL             -- the row as JSON
);
CREATE INDEX rows_by_position ON rows (position);

-- Every member that ever was, by stage and name. `key` never changes.
CREATE TABLE members (
    key INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (stage, name)
);

-- What a cell's outcome rests on: a member's configuration as fingerprints.
CREATE TABLE bases (key INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, checksum INTEGER NOT NULL);

-- Append-only: what was paid for, raw, for ever. What is large stands last.
CREATE TABLE answers (
    key INTEGER PRIMARY KEY,
    created REAL NOT NULL,         -- seconds since 1970
    seconds REAL NOT NULL,         -- from the request to the answer
    request BLOB NOT NULL,         -- the request key
    member INTEGER,                -- who paid for it; NULL where it is not known
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost REAL,                     -- dollars
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL             -- the answer as JSON
);
-- All requests without the bodies, in the order in which they come: one by request would cost each answer a page.
CREATE INDEX answers_requests ON answers (key, request);

-- Answers that no cell may use any more: a person wanted others, or their bodies were given up for room.
CREATE TABLE withdrawn (answer INTEGER PRIMARY KEY, checksum INTEGER NOT NULL);

-- How each cell stands. `key` packs row, member and sample; what is large stands last.
CREATE TABLE cells (
    key INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    basis INTEGER,
    answer INTEGER,
    attempts INTEGER NOT NULL,
    seconds REAL NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cause TEXT NOT NULL,
    message TEXT NOT NULL,
    answered_by INTEGER,           -- the member that answered in the place of the cell's own
    checksum INTEGER NOT NULL,
    outputs BLOB                   -- the output fields as JSON
);
"""


def pack_cell(row: int, member: int, sample: int) -> int:
    """The key of a cell. Cells of one row stand together, in order of member and sample."""
    return row << 24 | member << 8 | sample


def unpack_cell(key: int) -> tuple[int, int, int]:
    """Row, member and sample of a cell's key."""
    return key >> 24, key >> 8 & 0xFFFF, key & 0xFF
