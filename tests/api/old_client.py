"""Calls a generated client of the original service: JSON requests on stdin, a line each, answers on stdout.

Runs on its own, with nothing on the path but that client, whose import name is the same as ours. A request is
``[function, arguments]``; the function is one of the client's `lib`, ``Class.method`` of an API, or ``version``.
A second argument on the command line is sent as token: as a header of the client's `ApiClient`, which is also what its
`lib` makes.
"""

import functools
import json
import sys

import amun.lib

from amun import swagger_client

if len(sys.argv) > 2:
    bearer = {"header_name": "Authorization", "header_value": f"Bearer {sys.argv[2]}"}
    swagger_client.ApiClient = functools.partial(swagger_client.ApiClient, **bearer)
    amun.lib.ApiClient = swagger_client.ApiClient


def call(url: str, name: str, arguments: dict) -> object:  # type: ignore[type-arg]
    if name == "version":
        return amun.__version__
    if "." not in name:
        return getattr(amun.lib, name)(url, **arguments)
    class_name, method = name.split(".")
    if class_name == "InspectionSpecification":  # as a dictionary with null for everything that was not given
        api = amun.lib.instantiate_inspection_api(url)
        return api.post_inspection(swagger_client.InspectionSpecification(**arguments).to_dict())
    configuration = swagger_client.Configuration()
    configuration.host = url
    api = getattr(swagger_client, class_name)(swagger_client.ApiClient(configuration))
    return getattr(api, method)(**arguments)


def answer(url: str, request: list) -> object:  # type: ignore[type-arg]
    try:
        returned = call(url, *request)
    except Exception as exc:
        told = {name: getattr(exc, name, None) for name in ("status", "body")}
        return {"raised": type(exc).__name__, "message": str(exc), **told}
    return {"returned": returned.to_dict() if hasattr(returned, "to_dict") else returned}


for line in sys.stdin:
    print(json.dumps(answer(sys.argv[1], json.loads(line))), flush=True)
