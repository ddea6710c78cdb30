// A number for each column of a warpgroup's product, added by the product itself: its inner dimension grows by a step of 16 features,
// in which the columns have their number in three parts, together as exact as a float, and the rows have ones. That is a little more for
// the tensor cores and spares each thread a load and a register of each column it has; shared memory, where the operands of products
// lie as well, is what attention has least of.
//
// Defines: ELEMENT.
#pragma once
#include "hopper.cuh"

constexpr int term_bytes = 16 * 2;                           // Of a column.
constexpr int ones_bytes = 64 * term_bytes;                  // Of a warpgroup's rows.

// float16 ends at 65,504: its parts are the number over a power of two.
template <class E> constexpr float term_unit = 1;
template <> constexpr float term_unit<f16> = 256;

__device__ __forceinline__ float rounded(float x) { return to_float(from_float<ELEMENT>(x)); }

// Where the first features of a column lie: eight columns are 256 bytes, of which the second half is for features 8 to 15.
__device__ __forceinline__ uint2 *term_of(unsigned char *terms, int column)
{
    return reinterpret_cast<uint2 *>(terms + column / 8 * 8 * term_bytes + column % 8 * 16);
}

__device__ __forceinline__ void set_term(unsigned char *terms, int column, float x)
{
    x *= 1 / term_unit<ELEMENT>;
    float high = rounded(x), middle = rounded(x - high);
    *term_of(terms, column) = make_uint2(pack2<ELEMENT>(high, middle), pack2<ELEMENT>(x - high - middle, 0));
}

// By all threads of the block, before a barrier: features that are no part of anything are zero for good.
__device__ __forceinline__ void clear_terms(unsigned char *terms, int bytes)
{
    for (int i = threadIdx.x * 16; i < bytes; i += blockDim.x * 16) *reinterpret_cast<uint4 *>(terms + i) = make_uint4(0, 0, 0, 0);
}
__device__ __forceinline__ void set_ones(unsigned char *ones)
{
    const unsigned one = pack2<ELEMENT>(term_unit<ELEMENT>, term_unit<ELEMENT>);
    for (int row = threadIdx.x; row < 64; row += blockDim.x)
    {
        uint4 *features = reinterpret_cast<uint4 *>(term_of(ones, row));
        features[0] = make_uint4(one, one & 0xffff, 0, 0);
        features[8] = make_uint4(0, 0, 0, 0);
    }
}

// d = ones terms^T: what the steps after it add to.
template <int columns>
__device__ __forceinline__ void begin_at_terms(float (&d)[columns / 2], const unsigned char *ones, const unsigned char *terms)
{
    product<ELEMENT, columns, 0, 0>(d, operand_of_step(ones), operand_of_step(terms), false);
}
