// Tiles of 16-bit rows in shared memory and the products of one warp with them. Rows are padded by 16 bytes, so that the eight rows
// of a matrix that ldmatrix reads lie in different banks.
#pragma once
#include "tensor_cores.cuh"

template <int columns> constexpr int row_stride = columns + 8;

// Rows [first, first + rows) of one head from global memory; zeros outside [begin, end) and past `size` columns.
template <int columns, int rows, int threads, class E>
__device__ __forceinline__ void copy_rows(E *tile, const E *head, long long stride, int size, int first, int begin, int end)
{
    constexpr int pack = Pack16<E>::count, pieces = columns / pack;
    for (int piece = threadIdx.x; piece < rows * pieces; piece += threads)
    {
        int row = piece / pieces, column = piece % pieces * pack;
        bool valid = first + row >= begin && first + row < end && column < size;
        copy_async_16(tile + row * row_stride<columns> + column, valid ? head + (first + row) * stride + column : head, valid);
    }
}

// s [16 tiles, n] = a [16 tiles, columns] b [n, columns]^T: what a lane reads of b serves all tiles.
template <int columns, int n, int tiles, class E>
__device__ __forceinline__ void multiply_rows(float (&s)[tiles][n / 8][4], const E *a, const E *b)
{
    int lane = threadIdx.x % 32;
    const E *a_row = a + lane % 16 * row_stride<columns> + lane / 16 * 8;
    const E *b_row = b + (lane % 8 + lane / 16 * 8) * row_stride<columns> + lane / 8 % 2 * 8;
#pragma unroll
    for (int tile = 0; tile < tiles; tile++)
#pragma unroll
        for (int i = 0; i < n / 8; i++) s[tile][i][0] = s[tile][i][1] = s[tile][i][2] = s[tile][i][3] = 0;
#pragma unroll
    for (int k = 0; k < columns; k += 16)
    {
        unsigned left[tiles][4];
#pragma unroll
        for (int tile = 0; tile < tiles; tile++) ldmatrix_x4(left[tile], a_row + 16 * tile * row_stride<columns> + k);
#pragma unroll
        for (int i = 0; i < n; i += 16)
        {
            unsigned right[4];
            ldmatrix_x4(right, b_row + i * row_stride<columns> + k);
#pragma unroll
            for (int tile = 0; tile < tiles; tile++)
            {
                mma_16x8x16<E>(s[tile][i / 8], left[tile], right[0], right[1]);
                mma_16x8x16<E>(s[tile][i / 8 + 1], left[tile], right[2], right[3]);
            }
        }
    }
}

template <int columns, int n, class E>
__device__ __forceinline__ void multiply_rows(float (&s)[n / 8][4], const E *a, const E *b)
{
    multiply_rows<columns, n>(reinterpret_cast<float(&)[1][n / 8][4]>(s), a, b);
}

// o [16 tiles, width] += p [16 tiles, n] b [n, width]: an accumulator's fragments are an operand's. `b` points at the first of its
// columns.
template <int columns, int n, int width, int tiles, class E>
__device__ __forceinline__ void multiply_columns(float (&o)[tiles][width / 8][4], const float (&p)[tiles][n / 8][4], const E *b)
{
    int lane = threadIdx.x % 32;
    const E *b_row = b + lane % 16 * row_stride<columns> + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < n; k += 16)
    {
        unsigned left[tiles][4];
#pragma unroll
        for (int tile = 0; tile < tiles; tile++)
        {
            const float(&even)[4] = p[tile][k / 8], (&odd)[4] = p[tile][k / 8 + 1];
            left[tile][0] = pack2<E>(even[0], even[1]), left[tile][1] = pack2<E>(even[2], even[3]);
            left[tile][2] = pack2<E>(odd[0], odd[1]), left[tile][3] = pack2<E>(odd[2], odd[3]);
        }
#pragma unroll
        for (int i = 0; i < width; i += 16)
        {
            unsigned right[4];
            ldmatrix_x4_transposed(right, b_row + k * row_stride<columns> + i);
#pragma unroll
            for (int tile = 0; tile < tiles; tile++)
            {
                mma_16x8x16<E>(o[tile][i / 8], left[tile], right[0], right[1]);
                mma_16x8x16<E>(o[tile][i / 8 + 1], left[tile], right[2], right[3]);
            }
        }
    }
}

template <int columns, int n, int width, class E>
__device__ __forceinline__ void multiply_columns(float (&o)[width / 8][4], const float (&p)[n / 8][4], const E *b)
{
    multiply_columns<columns, n, width>(reinterpret_cast<float(&)[1][width / 8][4]>(o), reinterpret_cast<const float(&)[1][n / 8][4]>(p), b);
}

// Two neighbours of a row that is kept in memory.
template <class E> __device__ __forceinline__ void store_pair(E *target, float first, float second, bool add)
{
    unsigned *pair = reinterpret_cast<unsigned *>(target);
    if (add)
    {
        float2 before = unpack2<E>(*pair);
        first += before.x;
        second += before.y;
    }
    *pair = pack2<E>(first, second);
}

// Rows g and g + 8 of a warp's fragment, columns [first_column, + width) of a head.
template <int width, class E>
__device__ __forceinline__ void store_fragment(E *row0, E *row1, const float (&o)[width / 8][4], float factor0, float factor1, int first_column, int size, bool add)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < width / 8; i++)
    {
        int column = first_column + 8 * i + 2 * (lane % 4);
        if (column >= size) continue;
        if (row0) store_pair(row0 + column, o[i][0] * factor0, o[i][1] * factor0, add);
        if (row1) store_pair(row1 + column, o[i][2] * factor1, o[i][3] * factor1, add);
    }
}
