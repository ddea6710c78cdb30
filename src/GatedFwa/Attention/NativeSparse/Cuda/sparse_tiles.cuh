// The products of tile_products.cuh for floats, too: plain loops, right and not fast.
#pragma once
#include "packs.cuh"
#include "tile_products.cuh"
#include "warp.cuh"

// s [16, n] = a [16, columns] b [n, columns]^T
template <int columns, int n, class E>
__device__ __forceinline__ void product_of_rows(float (&s)[n / 8][4], const E *a, const E *b)
{
    if constexpr (sizeof(E) == 2) multiply_rows<columns, n>(s, a, b);
    else
    {
        constexpr int stride = row_stride<columns>;
        int lane = threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < n / 8; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
            {
                const E *left = a + (lane / 4 + 8 * (e / 2)) * stride, *right = b + (8 * i + 2 * (lane % 4) + e % 2) * stride;
                float sum = 0;
                for (int d = 0; d < columns; d++) sum = fmaf(left[d], right[d], sum);
                s[i][e] = sum;
            }
    }
}

// o [16, width] += p [16, n] b [n, width]
template <int columns, int n, int width, class E>
__device__ __forceinline__ void product_of_columns(float (&o)[width / 8][4], const float (&p)[n / 8][4], const E *b)
{
    if constexpr (sizeof(E) == 2) multiply_columns<columns, n, width>(o, p, b);
    else
    {
        int lane = threadIdx.x % 32;
        float sums[width / 8][4] = {}; // of this block, so that a long list is as exact as a short one
#pragma unroll
        for (int k = 0; k < n; k++)
        {
            int source = lane / 4 * 4 + k % 8 / 2;
            float x0 = __shfl_sync(all_lanes, p[k / 8][k % 2], source), x1 = __shfl_sync(all_lanes, p[k / 8][2 + k % 2], source);
            const E *row = b + k * row_stride<columns> + 2 * (lane % 4);
#pragma unroll
            for (int i = 0; i < width / 8; i++)
            {
                sums[i][0] = fmaf(x0, row[8 * i], sums[i][0]);
                sums[i][1] = fmaf(x0, row[8 * i + 1], sums[i][1]);
                sums[i][2] = fmaf(x1, row[8 * i], sums[i][2]);
                sums[i][3] = fmaf(x1, row[8 * i + 1], sums[i][3]);
            }
        }
#pragma unroll
        for (int i = 0; i < width / 2; i++) o[i / 4][i % 4] += sums[i / 4][i % 4];
    }
}

// s [16 tiles, n] = a [16 tiles, columns] b [n, columns]^T
template <int columns, int n, int tiles, class E>
__device__ __forceinline__ void product_of_rows(float (&s)[tiles][n / 8][4], const E *a, const E *b)
{
    if constexpr (sizeof(E) == 2) multiply_rows<columns, n>(s, a, b);
    else
    {
#pragma unroll
        for (int tile = 0; tile < tiles; tile++) product_of_rows<columns, n>(s[tile], a + 16 * tile * row_stride<columns>, b);
    }
}

// o [16 tiles, width] += p [16 tiles, n] b [n, width]
template <int columns, int n, int width, int tiles, class E>
__device__ __forceinline__ void product_of_columns(float (&o)[tiles][width / 8][4], const float (&p)[tiles][n / 8][4], const E *b)
{
    if constexpr (sizeof(E) == 2) multiply_columns<columns, n, width>(o, p, b);
    else
    {
#pragma unroll
        for (int tile = 0; tile < tiles; tile++) product_of_columns<columns, n, width>(o[tile], p[tile], b);
    }
}
