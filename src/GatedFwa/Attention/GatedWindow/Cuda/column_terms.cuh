// A number for each column of a warpgroup's product, its term, added by the product itself: the inner dimension grows by a step of 16
// features, in which a column has its term in three parts, together as exact as a float, and every row has ones. The other 13 are zero.
// That is a little more for the tensor cores and spares each thread a load and a register of each column it has; what attention has
// least of is the bandwidth of shared memory, where the operands of products lie as well.
//
// Defines: ELEMENT.
#pragma once
#include "hopper.cuh"

constexpr int term_bytes = 16 * 2; // Of a column.
constexpr int ones_rows = 64;      // Of a warpgroup.
constexpr int ones_bytes = ones_rows * term_bytes;

// What the rows' first two ones are in truth, and a column's first two parts are divided by: float16 ends at 65,504.
template <class E> constexpr float high_unit = 1;
template <> constexpr float high_unit<f16> = 32768;
template <class E> constexpr float middle_unit = 1;
template <> constexpr float middle_unit<f16> = 256;

// Where all parts end.
template <class E> constexpr float most_term = 3.38953139e38f;
template <> constexpr float most_term<f16> = 65504.0f * 32768;

__device__ __forceinline__ float rounded(float x) { return to_float(from_float<ELEMENT>(x)); }

// Where the first features of a column, or of a row of ones, lie: as operand_of_step says.
__device__ __forceinline__ uint2 *term_of(unsigned char *terms, int column)
{
    return reinterpret_cast<uint2 *>(terms + column / 8 * 8 * term_bytes + column % 8 * 16);
}

__device__ __forceinline__ void set_term(unsigned char *terms, int column, float x)
{
    constexpr float most = most_term<ELEMENT>;
    x = x > most ? most : x < -most ? -most : x; // Not fminf: NaN must stay NaN.
    const float high = rounded(x * (1 / high_unit<ELEMENT>));
    x -= high * high_unit<ELEMENT>;
    const float middle = rounded(x * (1 / middle_unit<ELEMENT>)), low = x - middle * middle_unit<ELEMENT>;
    *term_of(terms, column) = make_uint2(pack2<ELEMENT>(high, middle), pack2<ELEMENT>(low, 0));
}

// These two by all threads of the block, before a barrier. What set_term does not write stays zero for good.
__device__ __forceinline__ void clear_terms(unsigned char *terms, int bytes)
{
    for (int i = threadIdx.x * 16; i < bytes; i += blockDim.x * 16) *reinterpret_cast<uint4 *>(terms + i) = make_uint4(0, 0, 0, 0);
}

__device__ __forceinline__ void set_ones(unsigned char *ones)
{
    const unsigned first = pack2<ELEMENT>(high_unit<ELEMENT>, middle_unit<ELEMENT>), third = pack2<ELEMENT>(1, 0);
    for (int row = threadIdx.x; row < ones_rows; row += blockDim.x)
    {
        uint4 *features = reinterpret_cast<uint4 *>(term_of(ones, row));
        features[0] = make_uint4(first, third, 0, 0); // 0 to 7
        features[8] = make_uint4(0, 0, 0, 0);         // 8 to 15, 128 bytes further
    }
}

// d = ones terms^T: what the steps after it add to.
template <int columns>
__device__ __forceinline__ void begin_at_terms(float (&d)[columns / 2], const unsigned char *ones, const unsigned char *terms)
{
    product<ELEMENT, columns, 0, 0>(d, operand_of_step(ones), operand_of_step(terms), false);
}
