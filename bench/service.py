"""The predict service of the design that this package replaces: Flask, a joblib file, a DataFrame.

    python bench/service.py MODEL.joblib

Serves POST /predict on a free loopback port, prints the port, and runs until it is ended. It is
given the best of its kind: HTTP/1.1 with connections kept open, no waiting for more to send, no
log line a request, a model already loaded. Needs `pip install flask`; nothing of this package is
imported here.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

COLUMNS = ("SMA_50", "SMA_200")


def make_app(model: Any) -> Any:  # noqa: ANN401 - neither library ships types
    """Make the application: one row of JSON in, its class out."""
    flask: Any = import_module("flask")
    pandas: Any = import_module("pandas")
    app = flask.Flask(__name__)

    @app.route("/predict", methods=["POST"])  # type: ignore[untyped-decorator]  # flask is Any here
    def predict() -> Any:  # noqa: ANN401 - a flask response
        frame = pandas.DataFrame([flask.request.get_json()])[list(COLUMNS)]
        return flask.jsonify({"prediction": int(model.predict(frame)[0])})

    return app


def main() -> None:
    """Load the model and serve."""
    joblib: Any = import_module("joblib")
    serving: Any = import_module("werkzeug.serving")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    class Handler(serving.WSGIRequestHandler):  # type: ignore[misc]  # a base without types
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # the head and the body of an answer leave in one packet

    app = make_app(joblib.load(Path(sys.argv[1])))
    server = serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
