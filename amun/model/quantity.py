"""Kubernetes quantities, such as ``500m`` and ``1Gi``.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{unit: Decimal(1000) ** -power for power, unit in enumerate("mun", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
# A plain decimal number, then a binary, decimal or exponent suffix.
_QUANTITY = re.compile(
    r"\+?(?P<number>\d{1,18}(\.\d{0,9})?|\.\d{1,9})((?P<unit>[KMGTPE]i|[numkMGTPE])|(?P<exponent>[eE][+-]?\d{1,2}))?",
    re.ASCII,
)


def parse(text: str) -> Decimal:
    """Read a quantity: "500m" is 0.5, "1Gi" 1073741824. Raises ValueError where it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError("must be a Kubernetes quantity, such as '500m', '2' or '256Mi'")
    number = Decimal(match["number"] + (match["exponent"] or ""))
    return number * _UNITS[match["unit"]] if match["unit"] else number
