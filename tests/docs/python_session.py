"""Runs Python blocks that come in, one line of JSON each, in one namespace, and says what each printed."""

import contextlib as _contextlib
import io as _io
import json as _json
import sys as _sys
import traceback as _traceback

_sys.path[0] = ""  # what a page imports stands in its own folder

for _line in _sys.stdin:
    _block = _json.loads(_line)
    _printed, _error = _io.StringIO(), ""
    with _contextlib.redirect_stdout(_printed):
        try:
            exec(compile(_block["text"], _block["name"], "exec", dont_inherit=True), globals())
        except BaseException:  # noqa: BLE001 - told to who runs the page
            _error = _traceback.format_exc()
    _sys.stdout.write(_json.dumps({"printed": _printed.getvalue(), "error": _error}) + "\n")
