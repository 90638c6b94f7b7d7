"""Proof of Triton kernels on a machine without a GPU: run them in the interpreter, compile them for real targets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

TIMEOUT_S = 300


def interpret(script: str) -> None:
    """Runs `script` in a fresh Python with Triton's interpreter on; fails with its output unless it ends well.

    A process of its own, because Triton reads TRITON_INTERPRET when a kernel is defined.
    """
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def compile_ptx(
    kernel: Any,
    signature: Mapping[str, str | tuple[str, ...]],
    constexprs: Mapping[str, Any],
    arch: int,
    num_warps: int = 4,
    num_stages: int = 3,
    whole: Collection[str] = (),
    fused: bool = True,
    registers: int | None = None,
) -> str:
    """Compiles a `triton.jit` kernel for sm_80 (arch=80), sm_90 (90)... and returns its PTX.

    signature: argument name -> Triton type ("*fp32", "i32", "constexpr"). whole: the arguments known to be multiples of
    16, as a launch finds out. fused: may use fused multiply-adds. registers: of a thread, at most. Fails when ptxas
    reports a spill or a stack.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {**signature, **dict.fromkeys(constexprs, "constexpr")}
    attributes = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in whole}
    source = ASTSource(fn=kernel, signature=types, constexprs=dict(constexprs), attrs=attributes)
    options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": fused, "maxnreg": registers}
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    ptx: str = compiled.asm["ptx"]
    report = ptxas_report(ptx)
    used = re.findall(r"(\d+) bytes (stack frame|spill stores|spill loads)", report)
    assert used, f"ptxas reported no memory use:\n{report}"
    assert all(int(count) == 0 for count, _ in used), f"local memory in use:\n{report}"
    return ptx


def ptxas_report(ptx: str) -> str:
    """What `ptxas -v` says about registers, spills and shared memory."""
    from triton import knobs

    target = re.search(r"\.target\s+(sm_\w+)", ptx)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        command = [knobs.nvidia.ptxas.path, "-v", f"--gpu-name={target[1]}", str(path), "-o", f"{folder}/kernel.cubin"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stderr
