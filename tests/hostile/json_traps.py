#!/usr/bin/env python3
# An object that is JSON to Python, and to nobody else.
print('{"a": NaN, "b": 1e999, "c": "\\ud800", "d": ' + "[" * 20000 + "]" * 20000 + "}")
