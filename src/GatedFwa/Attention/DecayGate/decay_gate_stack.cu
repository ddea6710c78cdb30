// Both weights of the gate as one matrix, for products of a library.
//
// Defines: ELEMENT, PARTS (2 where that is bf16, else 1).
#include "elements.cuh"

// [gate; amplitude], each of `count` elements, in the type of the features; where that is bf16, then the same of the remainders.
extern "C" __global__ void decay_gate_stack(const float *gate, const float *amplitude, ELEMENT *stacked, int count)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const ELEMENT g = from_float<ELEMENT>(gate[i]), a = from_float<ELEMENT>(amplitude[i]);
    stacked[i] = g;
    stacked[count + i] = a;
    if constexpr (PARTS == 2)
    {
        stacked[2ll * count + i] = from_float<ELEMENT>(gate[i] - to_float(g));
        stacked[3ll * count + i] = from_float<ELEMENT>(amplitude[i] - to_float(a));
    }
}
