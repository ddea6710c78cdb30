// What the kernels of attention to listed keys agree on.
#pragma once
#include "elements.cuh"

constexpr float log2_e = 1.4426950408889634f;

// 2^x: products of floats are held to more than exp2_fast gives.
template <class E> __device__ __forceinline__ float power_of_two(float x)
{
    if constexpr (sizeof(E) == 4) return exp2f(x);
    else return exp2_fast(x);
}

// What the scores of a query in one head are held against in the backward pass.
struct __align__(16) RowTerms
{
    float lse_log2; // infinite where the query sees nothing: P = 0
    float delta;    // sum of o dO
    int position;   // in its row of the batch
    int unused;
};
