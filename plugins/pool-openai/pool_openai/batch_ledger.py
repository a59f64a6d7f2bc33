"""What was submitted and is still to come: a file for each batch, which outlives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause

__all__ = ["Ledger", "Submission"]

_HINT = "make room or mend the disk, then run the same command again"


@dataclass(frozen=True, slots=True)
class Submission:
    """One batch: that it is about to be made, and once it is, which one it is."""

    #: Our own name for it, which the provider keeps in the batch's metadata. Written down before anything is sent.
    token: str
    custom_ids: tuple[str, ...]
    #: The provider's name for it; None until it is known to be there.
    batch: str | None = None
    #: Custom ids whose results a run has made durable.
    done: frozenset[str] = field(default_factory=frozenset)


class Ledger:
    """The submissions of one backend.

    Raises:
        BackendError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        #: None: nothing outlives the process, as outside of a run.
        self._folder = None if folder is None else folder / name
        self._submissions = {one.token: one for one in self._read()}

    def list(self) -> list[Submission]:
        """All of them."""
        return [*self._submissions.values()]

    def locate(self, submission: Submission) -> Path | None:
        """The file of ``submission``; None where nothing outlives the process."""
        return None if self._folder is None else self._folder / f"{submission.token}.json"

    def write(self, submission: Submission) -> None:
        """Keep ``submission``, durably."""
        self._submissions[submission.token] = submission
        path = self.locate(submission)
        if self._folder is None or path is None:
            return
        content = json.dumps({**asdict(submission), "done": sorted(submission.done)}).encode()
        part = path.with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync(self._folder)
            _sync(self._folder.parent)
        except OSError as error:
            text = f"cannot write down what is submitted: {error.strerror}"
            raise BackendError(Cause.BAD_REQUEST, text, stops_member=True, where=str(path), hint=_HINT) from None

    def remove(self, submission: Submission) -> None:
        """Forget ``submission``: nothing of it is to come."""
        self._submissions.pop(submission.token, None)
        path = self.locate(submission)
        if path is not None:
            with suppress(OSError):  # one that stays is looked at again, and found to be done
                path.unlink()

    def settle(self, delivered: Iterable[str]) -> None:
        """Note that results are durable in the run. A submission of which all are is forgotten."""
        done = frozenset(delivered)
        for submission in self.list():
            settled = submission.done | done.intersection(submission.custom_ids)
            if settled.issuperset(submission.custom_ids):
                self.remove(submission)
            elif settled != submission.done:
                self.write(replace(submission, done=settled))

    def _read(self) -> Sequence[Submission]:
        if self._folder is None or not self._folder.is_dir():
            return []
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                values = json.loads(path.read_bytes())
                ids, done = tuple(map(str, values["custom_ids"])), frozenset(map(str, values["done"]))
                found.append(Submission(str(values["token"]), ids, values["batch"], done))
            except (OSError, ValueError, KeyError, TypeError) as error:
                text = f"cannot read what was submitted: {error}"
                hint = "a batch of this run may be under way; delete the file only if it is not"
                raise BackendError(Cause.BAD_REQUEST, text, where=str(path), hint=hint) from None
        return found


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
