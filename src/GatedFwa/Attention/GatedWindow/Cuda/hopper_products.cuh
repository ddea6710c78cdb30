// Products of a warpgroup's 64 rows with a block of 64 columns (rows of the other side) in the backward pass.
//
// Defines: ELEMENT, PANELS (of 64 columns of a head).
#pragma once
#include "hopper.cuh"

constexpr int column_rows = 64, head_columns = PANELS * 64, row_bytes = 128;
constexpr int panel_bytes = 64 * row_bytes, block_bytes = PANELS * panel_bytes; // 64 rows of all panels

// Accumulator fragments of 16 columns are operand fragments of 16 columns.
__device__ __forceinline__ void pack(unsigned (&p)[4][4], const float (&s)[32])
{
#pragma unroll
    for (int step = 0; step < 4; step++)
#pragma unroll
        for (int i = 0; i < 4; i++) p[step][i] = pack2<ELEMENT>(s[8 * step + 2 * i], s[8 * step + 2 * i + 1]);
}

// d (+)= rows columns^T. Both lie in shared memory: with the rows in registers, products of a later block went wrong on the
// machine (docs/log.md), and this was no slower.
__device__ __forceinline__ void multiply_rows(float (&d)[32], const unsigned char *rows, const unsigned char *columns, bool accumulate)
{
#pragma unroll
    for (int step = 0; step < 4 * PANELS; step++)
    {
        int at = step / 4 * panel_bytes + step % 4 * 32;
        product<ELEMENT, column_rows, 0, 0>(d, operand(rows + at), operand(columns + at), accumulate || step > 0);
    }
}

// d += p columns
__device__ __forceinline__ void multiply(float (&d)[head_columns / 2], const unsigned (&p)[4][4], const unsigned char *columns)
{
#pragma unroll
    for (int step = 0; step < 4; step++)
        product_registers<ELEMENT, head_columns, 1>(d, p[step], operand(columns + step * 16 * row_bytes, panel_bytes), true);
}
