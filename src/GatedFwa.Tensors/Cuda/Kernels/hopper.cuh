// What Hopper (sm_90a) adds: barriers that count bytes, tiles copied by an engine of their own, matrix products of four warps
// that read shared memory. Tiles are panels of 64 16-bit columns: rows of 128 bytes, 128-byte swizzle, aligned to 1024 bytes.
#pragma once
#include "elements.cuh"
#include "tensor_cores.cuh"

// The host encodes it; a kernel takes it as `const __grid_constant__ TensorMap`.
struct __align__(64) TensorMap { unsigned char bytes[128]; };

// Where byte `offset` of an unswizzled panel lies: bits 7 to 9 (the row) change bits 4 to 6 (the 16-byte column).
__device__ __forceinline__ unsigned swizzle_128(unsigned offset) { return offset ^ ((offset >> 3) & 0x70); }

// ---- Barriers -------------------------------------------------------------------------------------------------------------

typedef unsigned long long Barrier;

__device__ __forceinline__ void barrier_init(Barrier *barrier, unsigned arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// After the inits, before anyone uses the barriers.
__device__ __forceinline__ void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ __forceinline__ void barrier_arrive(Barrier *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives, and holds the phase open until so many bytes have been copied.
__device__ __forceinline__ void barrier_arrive_expect(Barrier *barrier, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}

// Until the phase of this parity is complete. A barrier starts in phase 0; waiting for parity 1 on a fresh one returns at once.
__device__ __forceinline__ void barrier_wait(Barrier *barrier, unsigned parity)
{
    unsigned done;
    do
    {
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    } while (!done);
}

// A barrier of some of the block's warps; ids 1 to 15.
__device__ __forceinline__ void group_sync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
__device__ __forceinline__ void group_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

// Shared memory written by ordinary stores becomes visible to the copy engine and the tensor cores.
__device__ __forceinline__ void fence_shared_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

template <int registers> __device__ __forceinline__ void take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers> __device__ __forceinline__ void give_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

// ---- The copy engine ------------------------------------------------------------------------------------------------------

// One box of a four-dimensional tensor, coordinates innermost first; what lies outside arrives as zeros.
__device__ __forceinline__ void copy_tile(void *shared, const TensorMap *map, Barrier *barrier, int c0, int c1, int c2, int c3)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];"
                 ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
                 : "memory");
}

// The way back; what lies outside is not written. fence_shared_async first, then bulk_commit.
__device__ __forceinline__ void store_tile(const TensorMap *map, const void *shared, int c0, int c1, int c2, int c3)
{
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
                 ::"l"(map), "r"(shared_address(shared)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
                 : "memory");
}

// Plain bytes, a multiple of 16.
__device__ __forceinline__ void copy_bytes(void *shared, const void *global, unsigned bytes, Barrier *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 ::"r"(shared_address(shared)), "l"(global), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}

// The same of bytes that nobody reads again soon: the first that the second-level cache gives up.
__device__ __forceinline__ void copy_bytes_once(void *shared, const void *global, unsigned bytes, Barrier *barrier)
{
    unsigned long long policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;"
                 ::"r"(shared_address(shared)), "l"(global), "r"(bytes), "r"(shared_address(barrier)), "l"(policy)
                 : "memory");
}

// global += shared, floats, a multiple of 16 bytes, added where the memory is.
__device__ __forceinline__ void add_bytes(float *global, const void *shared, unsigned bytes)
{
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;"
                 ::"l"(global), "r"(shared_address(shared)), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

// Until at most `pending` groups of this thread still read shared memory.
template <int pending> __device__ __forceinline__ void bulk_wait_read()
{
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}
// Until at most `pending` groups of this thread are not complete, their writes visible.
template <int pending> __device__ __forceinline__ void bulk_wait() { asm volatile("cp.async.bulk.wait_group %0;" ::"n"(pending) : "memory"); }

// ---- Matrix products of a warpgroup ---------------------------------------------------------------------------------------

// Describes an operand that begins at `tile`. Along K in a row ("row-major" here): 8 rows are 1024 bytes; step k of 16 begins at
// tile + 32 k bytes. K along the rows ("transposed"): step k begins 16 rows, 2048 bytes, further; a panel's neighbour lies
// `panel_bytes` further.
__device__ __forceinline__ unsigned long long operand(const void *tile, unsigned panel_bytes = 16)
{
    return (unsigned long long)((shared_address(tile) & 0x3ffff) >> 4) | ((unsigned long long)(panel_bytes >> 4) << 16) |
           (64ull << 32) | (1ull << 62);
}

// An operand of a single step, 16 elements along K, that is not swizzled: of 8 rows, 256 bytes, the first half holds elements 0 to 7, the
// second elements 8 to 15. Both distances are in units of 16 bytes: 128 bytes from half to half, 256 from 8 rows to the next.
__device__ __forceinline__ unsigned long long operand_of_step(const void *tile)
{
    return (unsigned long long)((shared_address(tile) & 0x3ffff) >> 4) | (8ull << 16) | (16ull << 32);
}

__device__ __forceinline__ void product_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void product_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int pending> __device__ __forceinline__ void product_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory"); }

// What follows does not begin before x is known. Else ptxas moves the wait for products ahead of the arithmetic that should run beside
// them. It moves no wait past this: a sleep of 0 ns, and only if x is -0, which no exponential is and no sum that began at 0.
__device__ __forceinline__ void not_before(float x)
{
    asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, %0, 0x80000000;\n@p nanosleep.u32 0;\n}" ::"r"(__float_as_uint(x)) : "memory");
}

// After the wait, before the first use: keeps the compiler from reading an accumulator early.
template <int count> __device__ __forceinline__ void settle(float (&d)[count])
{
#pragma unroll
    for (int i = 0; i < count; i++) asm volatile("" : "+f"(d[i])::"memory");
}

// The same for operands in registers, which a product reads until the wait.
template <int steps> __device__ __forceinline__ void settle(unsigned (&a)[steps][4])
{
#pragma unroll
    for (int i = 0; i < 4 * steps; i++) asm volatile("" : "+r"(a[i / 4][i % 4])::"memory");
}

// d [64, N] (+)= a b, K = 16. Warp w of the four holds rows 16 w to 16 w + 15; with g = lane / 4, t = lane % 4 and column block c
// of 8, d[4 c + {0, 1, 2, 3}] are (g, 8c + 2t), (g, 8c + 2t + 1), (g + 8, 8c + 2t), (g + 8, 8c + 2t + 1).
// a lies in shared memory (`product`) or, as in mma_16x8x16, in registers (`product_registers`).
template <class E, int N, int transposed_a, int transposed_b>
__device__ __forceinline__ void product(float (&d)[N / 2], unsigned long long a, unsigned long long b, bool accumulate);
template <class E, int N, int transposed_b>
__device__ __forceinline__ void product_registers(float (&d)[N / 2], const unsigned (&a)[4], unsigned long long b, bool accumulate);

#define F4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define F16(i) F4(i), F4(i + 4), F4(i + 8), F4(i + 12)
#define D32 F16(0), F16(16)
#define D64 D32, F16(32), F16(48)
#define LIST_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LIST_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

#define HOPPER_PRODUCT(E, NAME, N, R, A, B, P, TA, TB, A0, A1, A2, A3, RB, RP, RTB) \
    template <> __device__ __forceinline__ void product<E, N, 0, 0>(float (&d)[N / 2], unsigned long long a, unsigned long long b, bool accumulate) \
    { HOPPER_SHARED(NAME, N, R, A, B, P, TA, TB, 0, 0) } \
    template <> __device__ __forceinline__ void product<E, N, 0, 1>(float (&d)[N / 2], unsigned long long a, unsigned long long b, bool accumulate) \
    { HOPPER_SHARED(NAME, N, R, A, B, P, TA, TB, 0, 1) } \
    template <> __device__ __forceinline__ void product<E, N, 1, 0>(float (&d)[N / 2], unsigned long long a, unsigned long long b, bool accumulate) \
    { HOPPER_SHARED(NAME, N, R, A, B, P, TA, TB, 1, 0) } \
    template <> __device__ __forceinline__ void product<E, N, 1, 1>(float (&d)[N / 2], unsigned long long a, unsigned long long b, bool accumulate) \
    { HOPPER_SHARED(NAME, N, R, A, B, P, TA, TB, 1, 1) } \
    template <> __device__ __forceinline__ void product_registers<E, N, 0>(float (&d)[N / 2], const unsigned (&a)[4], unsigned long long b, bool accumulate) \
    { HOPPER_REGISTERS(NAME, N, R, A0, A1, A2, A3, RB, RP, RTB, 0) } \
    template <> __device__ __forceinline__ void product_registers<E, N, 1>(float (&d)[N / 2], const unsigned (&a)[4], unsigned long long b, bool accumulate) \
    { HOPPER_REGISTERS(NAME, N, R, A0, A1, A2, A3, RB, RP, RTB, 1) }

#define HOPPER_SHARED(NAME, N, R, A, B, P, TA, TB, ta, tb) \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k16.f32." NAME "." NAME " {" LIST_##R \
                 "}, %" #A ", %" #B ", p, 1, 1, %" #TA ", %" #TB ";\n}" \
                 : D##R : "l"(a), "l"(b), "r"((int)accumulate), "n"(ta), "n"(tb));

#define HOPPER_REGISTERS(NAME, N, R, A0, A1, A2, A3, B, P, TB, tb) \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k16.f32." NAME "." NAME " {" LIST_##R \
                 "}, {%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B ", p, 1, 1, %" #TB ";\n}" \
                 : D##R : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)accumulate), "n"(tb));

HOPPER_PRODUCT(bf16, "bf16", 64, 32, 32, 33, 34, 35, 36, 32, 33, 34, 35, 36, 37, 38)
HOPPER_PRODUCT(bf16, "bf16", 128, 64, 64, 65, 66, 67, 68, 64, 65, 66, 67, 68, 69, 70)
HOPPER_PRODUCT(f16, "f16", 64, 32, 32, 33, 34, 35, 36, 32, 33, 34, 35, 36, 37, 38)
HOPPER_PRODUCT(f16, "f16", 128, 64, 64, 65, 66, 67, 68, 64, 65, 66, 67, 68, 69, 70)

#undef F4
#undef F16
#undef D32
#undef D64

// Four 8x8 matrices of 16-bit elements to shared memory; the mirror image of ldmatrix_x4.
__device__ __forceinline__ void stmatrix_x4(void *row, const unsigned (&r)[4])
{
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                 ::"r"(shared_address(row)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}
__device__ __forceinline__ void stmatrix_x4_transposed(void *row, const unsigned (&r)[4])
{
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};"
                 ::"r"(shared_address(row)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}
