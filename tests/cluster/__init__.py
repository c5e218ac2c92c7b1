"""A cluster in the test process: an API server that speaks HTTP as OpenShift's does, for what Amun uses of it.

What it answers is held against what a real one answered: `recorded/`, and the schemas of the real servers, both made by
`reduce.py` and read by `examples.py` and `schemas.py`.

The objects, with no HTTP: `store` (all that may be asked of them) on `ledger` (which there are, and their versions),
`history` (what happened), `entries` (one version of one), `logs`, `collector` (what goes when its owner goes),
`selectors`, `patching`; `admission` knows what is filled in and refused, by `validation` (of any kind), `podrules`,
`jobrules`, `buildrules`, `quotas`, `quantities`; refusals are `errors`. A new kind begins in `kinds`.

By HTTP: `apiserver` on `connections`; `routes` takes requests apart, `rights` says who may, `faults` what goes wrong,
`recording` what was asked; the answers are made by `resources` (with `decoding`), `watching`, `containerlogs`,
`builds`, `reviews` and `discovery`.

Who makes things happen in it: `world`, with the build controller, the job controller, the scheduler and the kubelet.
"""
