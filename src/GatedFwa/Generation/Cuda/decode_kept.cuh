// A token's keys and values, which become those of the token before: what the next token's shift wants of this one.
#pragma once
#include "elements.cuh"

struct KeptToken
{
    const float *projections; // Or none. [ROWS, width keys and as many values], rows `stride` apart.
    int stride, width;
    ELEMENT *keys, *values; // [ROWS, width].
    const int *idle;        // [ROWS]: not 0 for texts whose token before stays.

    __device__ __forceinline__ int count() const { return projections ? 2 * ROWS * width : 0; }
    __device__ __forceinline__ float read(int i) const { return projections[(long long)(i / (2 * width)) * stride + i % (2 * width)]; }
    __device__ __forceinline__ bool stays(int i) const { return idle[i / (2 * width)] != 0; }

    __device__ __forceinline__ void write(int i, float value) const
    {
        const int row = i / (2 * width), column = i % (2 * width);
        ELEMENT *target = column < width ? keys : values - width;
        target[(long long)row * width + column] = from_float<ELEMENT>(value);
    }
};
