"""An item that ran on other hardware than was asked for is noticed; what cannot be told is not held against it."""

import pytest

from amun.model.specification import Gpu, Hardware
from amun.runs.hardware_match import matches, mismatches

HWINFO = {
    "cpu_info": {
        "arch_string_raw": "x86_64",
        "brand_raw": "Intel Xeon Processor (Skylake, IBRS)",
        "family": 6,
        "model": 85,
        "count": 64,
        "cores": 32,
    },
    "gpus": [{"vendor": "nvidia.com/gpu", "product": "NVIDIA A100-SXM4-40GB"}] * 2,
}


@pytest.mark.parametrize(
    "requested",
    [
        Hardware(cpu_family=6, cpu_model=85),
        Hardware(processor="Intel-Xeon-Processor-Skylake-IBRS"),
        Hardware(processor="intel(R) xeon(R) processor (skylake, ibrs)"),
        Hardware(physical_cpus=32),
        Hardware(physical_cpus=64),
        Hardware(architecture="amd64"),
        Hardware(architecture="x86_64"),
        Hardware(gpu=Gpu()),
        Hardware(gpu=Gpu(count=2, product="A100-SXM4-40GB")),
        Hardware(cpu_family=6, gpu=Gpu(vendor="amd.com/gpu")),
    ],
)
def test_hardware_as_requested_matches(requested):
    assert matches(requested, HWINFO) is True
    assert mismatches(requested, HWINFO) == []


@pytest.mark.parametrize(
    ("requested", "sentence"),
    [
        (Hardware(cpu_family=25), "Requested cpu_family 25, the node has 6."),
        (Hardware(cpu_family=6, cpu_model=94), "Requested cpu_model 94, the node has 85."),
        (Hardware(physical_cpus=16), "Requested physical_cpus 16, the node has 32 (64 logical)."),
        (
            Hardware(processor="AMD-EPYC"),
            "Requested processor 'AMD-EPYC', the node has 'Intel Xeon Processor (Skylake, IBRS)'.",
        ),
        (Hardware(architecture="arm64"), "Requested architecture arm64, the node has x86_64."),
        (
            Hardware(gpu=Gpu(count=3)),
            "Requested gpu 3 x nvidia.com/gpu, the node has NVIDIA A100-SXM4-40GB, NVIDIA A100-SXM4-40GB.",
        ),
        (
            Hardware(gpu=Gpu(product="Tesla T4")),
            "Requested gpu 1 x Tesla T4, the node has NVIDIA A100-SXM4-40GB, NVIDIA A100-SXM4-40GB.",
        ),
    ],
)
def test_other_hardware_is_said_to_be_other(requested, sentence):
    assert matches(requested, HWINFO) is False
    assert mismatches(requested, HWINFO) == [sentence]


@pytest.mark.parametrize(
    ("requested", "hwinfo"),
    [
        (None, HWINFO),
        (Hardware(), HWINFO),
        (Hardware(node_selector={"zone": "b"}), HWINFO),
        (Hardware(cpu_family=6), None),
        (Hardware(cpu_family=6), {}),
        (Hardware(cpu_family=6, processor="x"), {"cpu_info": None}),
        (Hardware(physical_cpus=2), {"cpu_info": {"cores": None}}),
        (Hardware(gpu=Gpu()), {"gpus": []}),
        (Hardware(gpu=Gpu()), {"gpus": None}),
    ],
)
def test_nothing_is_claimed_of_what_cannot_be_told(requested, hwinfo):
    assert matches(requested, hwinfo) is None
    assert mismatches(requested, hwinfo) == []


def test_both_names_of_an_architecture_are_the_same():
    arm = {"cpu_info": {"arch_string_raw": "aarch64"}}
    assert matches(Hardware(architecture="arm64"), arm) is True
    assert matches(Hardware(architecture="aarch64"), arm) is True
    assert matches(Hardware(architecture="amd64"), arm) is False
