#!/usr/bin/env python3
"""Sorts, and solves a system of equations: prints the seconds that each takes as one JSON object."""

import json
import os
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the same work on any number of CPUs; read when numpy is imported
import numpy

generator = numpy.random.default_rng(7)
values = generator.random(2_000_000)
matrix = generator.random((700, 700))


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


print(
    json.dumps(
        {
            "numpy": numpy.__version__,
            "sort_s": seconds(lambda: numpy.sort(values)),
            "solve_s": seconds(lambda: numpy.linalg.solve(matrix, matrix)),
        }
    )
)
