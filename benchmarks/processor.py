"""What one core of this processor can do at most: fused multiply-adds on registers, nothing else."""

from __future__ import annotations

import ctypes
import time

from llvmlite import binding as llvm

ROUNDS = 20_000_000
CHAINS = (
    8,
    10,
    12,
)  # independent sums: enough to hide a multiply-add's latency, few enough for the registers


def peak_flops(repeats: int = 5) -> float:
    """Return float32 operations per second of one core, the best of vectors of 4, 8 and 16 numbers.

    Measured, not looked up: clocks and vector units behind a virtual machine are not always what they say.
    """
    best = 0.0
    for lanes in (4, 8, 16):
        for chains in CHAINS:
            _engine, loop = _compiled(lanes, chains)
            for _ in range(repeats):
                start = time.perf_counter()
                loop(ROUNDS // lanes, 0.5)
                seconds = time.perf_counter() - start
                best = max(best, operations(lanes, chains, ROUNDS // lanes) / seconds)
    return best


def operations(lanes: int, chains: int, rounds: int) -> int:
    """Return how many additions and multiplications the loop does."""
    return 2 * lanes * chains * rounds


def _loop_ir(lanes: int, chains: int) -> str:
    """`chains` sums x ← x·a + a over vectors, added up: with a = 1 the number of multiply-adds.

    Each chain's a is read anew, or they would be folded into one.
    """
    vector = f"<{lanes} x float>"
    phis = "\n".join(
        f"  %x{c} = phi {vector} [ zeroinitializer, %entry ], [ %y{c}, %loop ]" for c in range(chains)
    )
    steps = "\n".join(
        f"  %y{c} = call {vector} @llvm.fma.v{lanes}f32({vector} %x{c}, {vector} %a, {vector} %a{c})"
        for c in range(chains)
    )
    different = "\n".join(
        f"  %v{c} = load volatile {vector}, ptr %room\n  %a{c} = fadd {vector} %v{c}, %a"
        for c in range(chains)
    )
    total = "\n".join(
        f"  %s{c + 1} = fadd {vector} {'zeroinitializer' if c == 0 else f'%s{c}'}, %y{c}"
        for c in range(chains)
    )
    return f"""
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})
declare float @llvm.vector.reduce.fadd.v{lanes}f32(float, {vector})
define float @loop(i64 %n, float %first) {{
entry:
  %room = alloca {vector}
  store {vector} zeroinitializer, ptr %room
  %lane = insertelement {vector} zeroinitializer, float %first, i32 0
  %a = shufflevector {vector} %lane, {vector} %lane, <{lanes} x i32> zeroinitializer
{different}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
{total}
  %r = call float @llvm.vector.reduce.fadd.v{lanes}f32(float 0.0, {vector} %s{chains})
  ret float %r
}}
"""


def _compiled(lanes: int, chains: int):  # type: ignore[no-untyped-def]
    """Compile the loop for this processor; the engine owns the code and must live as long as it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features + ",-prefer-256-bit", opt=3
    )
    module = llvm.parse_assembly(_loop_ir(lanes, chains))
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)
    return engine, kind(engine.get_function_address("loop"))
