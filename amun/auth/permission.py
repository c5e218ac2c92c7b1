"""Rights in the namespace of the inspections, as settings name them.

A right is a verb and a resource with its group: ``create jobs.batch``. It may be one that no object of the cluster
stands for, such as ``create inspections.amun``: a Role can grant that, and it gives no power over anything but Amun.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ACCESS = re.compile(
    r"(?P<verb>[a-z]+) +(?P<resource>[a-z0-9-]+)(?:\.(?P<group>[a-z0-9.-]+))?(?:/(?P<subresource>[a-z]+))?"
)


@dataclass(frozen=True)
class Access:
    """A right in the namespace: what a SubjectAccessReview asks for."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""

    @classmethod
    def parse(cls, text: str) -> Access:
        """Read ``VERB RESOURCE[.GROUP][/SUBRESOURCE]``; raises ValueError for anything else."""
        match = _ACCESS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a verb and a resource with its group, such as `create jobs.batch`")
        return cls(**match.groupdict(default=""))

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        subresource = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource}{group}{subresource}"

    def attributes(self, namespace: str) -> dict[str, str]:
        """For `spec.resourceAttributes`."""
        return {"namespace": namespace, **{name: value for name, value in vars(self).items() if value}}
