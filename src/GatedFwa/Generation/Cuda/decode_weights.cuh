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
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (n < ends[i]) return first[i] + (long long)(n - (i ? ends[i - 1] : 0)) * WIDTH;
        return first[4] + (long long)(n - ends[3]) * WIDTH;
    }
};
