// What the products of a decoding step multiply with: rows of up to five matrices, one below the other.
#pragma once
#include "elements.cuh"

struct Weights
{
    const ELEMENT *first[5];
    int ends[5];   // Counts rows.

    __device__ __forceinline__ const ELEMENT *row(int n) const
    {
        n = min(n, ends[4] - 1);
        const ELEMENT *matrix = first[0];
        int begin = 0;
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            matrix = n < ends[i] ? matrix : first[i + 1];
            begin = n < ends[i] ? begin : ends[i];
        }
        return matrix + (long long)(n - begin) * WIDTH;
    }
};
