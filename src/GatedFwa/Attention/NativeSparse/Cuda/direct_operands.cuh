// A warp's products with operands straight from global memory: no tile in shared memory, no barrier. What neighbouring warps have
// read lies in the first-level cache. A product sums over its inner dimension in any order, so that each lane may hold eight
// neighbouring columns (16 bytes of 16-bit elements) where a matrix instruction speaks of others.
//
// With g = lane / 4 and t = lane % 4, accumulators are those of mma_16x8x16. Floats take the same way, by shuffles: right, not fast.
#pragma once
#include "packs.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

// Eight neighbours of a row.
template <class E> struct Octet
{
    static constexpr int words = 2 * sizeof(E);
    unsigned word[words];

    // Zeros where not `valid`. The address must be a multiple of 16 bytes.
    __device__ __forceinline__ void load(const E *source, bool valid)
    {
#pragma unroll
        for (int i = 0; i < words; i += 4)
            put(i, valid ? reinterpret_cast<const uint4 *>(source)[i / 4] : make_uint4(0, 0, 0, 0));
    }

    __device__ __forceinline__ void put(int first, uint4 raw)
    {
        word[first] = raw.x, word[first + 1] = raw.y, word[first + 2] = raw.z, word[first + 3] = raw.w;
    }
};

// Rows of a warp's left operand, [16, columns], kept in shared memory as each lane reads its share: nobody else's, so that nothing
// waits. Lane (g, t) has columns 32 j + 8 t … + 7 of rows g and g + 8.
template <class E, int columns> struct KeptRows
{
    static constexpr int packs = columns / 32 * Octet<E>::words / 2, bytes = 16 * columns * sizeof(E); // uint4s of a lane

    uint4 *own;

    __device__ __forceinline__ KeptRows(unsigned char *memory) : own(reinterpret_cast<uint4 *>(memory) + threadIdx.x % 32) {}

    // Rows that are null are zeros, and so are columns from `size` on.
    __device__ __forceinline__ void keep(const E *row0, const E *row1, int size)
    {
#pragma unroll
        for (int j = 0; j < columns / 32; j++)
#pragma unroll
            for (int r = 0; r < 2; r++)
            {
                const E *row = r ? row1 : row0;
                int column = 32 * j + 8 * (threadIdx.x % 4);
                Octet<E> octet;
                octet.load(row + column, row && column < size);
#pragma unroll
                for (int i = 0; i < octet.words; i += 4)
                    own[32 * ((2 * j + r) * (octet.words / 4) + i / 4)] =
                        make_uint4(octet.word[i], octet.word[i + 1], octet.word[i + 2], octet.word[i + 3]);
            }
    }

    __device__ __forceinline__ Octet<E> operator()(int j, int r) const
    {
        Octet<E> octet;
#pragma unroll
        for (int i = 0; i < octet.words; i += 4) octet.put(i, own[32 * ((2 * j + r) * (octet.words / 4) + i / 4)]);
        return octet;
    }
};

// d [16, 8] += a [16, 32] b [8, 32]^T: lane (g, t) holds columns 8 t … + 7 of rows g and g + 8 of a and of row g of b.
template <class E>
__device__ __forceinline__ void multiply_along(float (&d)[4], const Octet<E> &a0, const Octet<E> &a1, const Octet<E> &b)
{
    if constexpr (sizeof(E) == 4)
    {
        int lane = threadIdx.x % 32, row = lane / 4 * 4, column = lane % 4 * 8;
#pragma unroll 1
        for (int t = 0; t < 4; t++) // Unrolled it would be four times the code of every product.
#pragma unroll
            for (int i = 0; i < 8; i++)
            {
                float x0 = __uint_as_float(__shfl_sync(all_lanes, a0.word[i], row + t));
                float x1 = __uint_as_float(__shfl_sync(all_lanes, a1.word[i], row + t));
                float y0 = __uint_as_float(__shfl_sync(all_lanes, b.word[i], column + t));
                float y1 = __uint_as_float(__shfl_sync(all_lanes, b.word[i], column + 4 + t));
                d[0] = fmaf(x0, y0, d[0]);
                d[1] = fmaf(x0, y1, d[1]);
                d[2] = fmaf(x1, y0, d[2]);
                d[3] = fmaf(x1, y1, d[3]);
            }
    }
    else
    {
        unsigned first[4] = {a0.word[0], a1.word[0], a0.word[1], a1.word[1]};
        mma_16x8x16<E>(d, first, b.word[0], b.word[1]);
        unsigned second[4] = {a0.word[2], a1.word[2], a0.word[3], a1.word[3]};
        mma_16x8x16<E>(d, second, b.word[2], b.word[3]);
    }
}

// d [16, 64] += p [16, 16] b [16, 64]: p are accumulators; lane (g, t) holds columns 8 g … + 7 of rows 2 t, 2 t + 1, 2 t + 8 and
// 2 t + 9 of b, and gets in d[c] columns 16 t + c and 16 t + 8 + c of row g, then of row g + 8.
template <class E>
__device__ __forceinline__ void multiply_across(float (&d)[8][4], const float (&p)[2][4], const Octet<E> *b)
{
    if constexpr (sizeof(E) == 4)
    {
        int lane = threadIdx.x % 32, row = lane / 4 * 4, column = lane % 4 * 8;
#pragma unroll
        for (int half = 0; half < 2; half++) // Row 8 half + 2 t + odd of b.
#pragma unroll 1
            for (int t = 0; t < 4; t++)
#pragma unroll
                for (int odd = 0; odd < 2; odd++)
                {
                    float x0 = __shfl_sync(all_lanes, p[half][odd], row + t), x1 = __shfl_sync(all_lanes, p[half][2 + odd], row + t);
#pragma unroll
                    for (int c = 0; c < 8; c++)
                    {
                        unsigned element = b[2 * half + odd].word[c];
                        float y0 = __uint_as_float(__shfl_sync(all_lanes, element, column + t));
                        float y1 = __uint_as_float(__shfl_sync(all_lanes, element, column + 4 + t));
                        d[c][0] = fmaf(x0, y0, d[c][0]);
                        d[c][1] = fmaf(x0, y1, d[c][1]);
                        d[c][2] = fmaf(x1, y0, d[c][2]);
                        d[c][3] = fmaf(x1, y1, d[c][3]);
                    }
                }
    }
    else
    {
        unsigned a[4] = {pack2<E>(p[0][0], p[0][1]), pack2<E>(p[0][2], p[0][3]), pack2<E>(p[1][0], p[1][1]), pack2<E>(p[1][2], p[1][3])};
#pragma unroll
        for (int w = 0; w < 4; w++)
        {
            unsigned x0 = b[0].word[w], y0 = b[1].word[w], x1 = b[2].word[w], y1 = b[3].word[w];
            mma_16x8x16<E>(d[2 * w], a, __byte_perm(x0, y0, 0x5410), __byte_perm(x1, y1, 0x5410));
            mma_16x8x16<E>(d[2 * w + 1], a, __byte_perm(x0, y0, 0x7632), __byte_perm(x1, y1, 0x7632));
        }
    }
}

// The columns of d that this lane has, 64 of a head from `first` on: two runs of eight a row. Rows that are null are not written.
template <class E>
__device__ __forceinline__ void store_across(
    E *row0, E *row1, const float (&d)[8][4], float factor0, float factor1, int first, int size, bool fresh)
{
#pragma unroll
    for (int run = 0; run < 4; run++)
    {
        E *row = run / 2 ? row1 : row0;
        int column = first + 16 * (threadIdx.x % 4) + 8 * (run % 2);
        if (!row || column >= size) continue;
        float values[8];
#pragma unroll
        for (int c = 0; c < 8; c++) values[c] = d[c][run] * (run / 2 ? factor1 : factor0);
        store_or_add(values, row + column, fresh);
    }
}
