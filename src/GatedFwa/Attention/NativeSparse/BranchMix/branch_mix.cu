// o = sum of gate times branch, over three branches; a row is a query in one head.
//
// Defines: ELEMENT, SIZE (of a row), LANES (of a row: a power of two).
#include "packs.cuh"
#include "warp.cuh"

__device__ __forceinline__ long long own_row() { return ((long long)blockIdx.x * blockDim.x + threadIdx.x) / LANES; }
__device__ __forceinline__ int own_lane() { return threadIdx.x % LANES; }

// gates [rows], branches and o [rows, SIZE]
extern "C" __global__ void __launch_bounds__(256) branch_mix_forward(
    const float *gate0, const float *gate1, const float *gate2, const ELEMENT *branch0, const ELEMENT *branch1, const ELEMENT *branch2,
    ELEMENT *o, long long rows)
{
    long long row = own_row();
    if (row >= rows) return;
    float gate[3] = {gate0[row], gate1[row], gate2[row]};
    for (int column = own_lane() * 8; column < SIZE; column += LANES * 8)
    {
        long long at = row * SIZE + column;
        float a[8], b[8], c[8];
        load(branch0 + at, a);
        load(branch1 + at, b);
        load(branch2 + at, c);
#pragma unroll
        for (int i = 0; i < 8; i++) a[i] = fmaf(gate[2], c[i], fmaf(gate[1], b[i], gate[0] * a[i]));
        store(a, o + at);
    }
}

struct Branch
{
    const float *gate;
    const ELEMENT *values;
    float *gate_gradient; // or none, and so the next
    ELEMENT *gradient;
    int fresh_gate, fresh;
};

// What gives nobody a gradient is not read.
extern "C" __global__ void __launch_bounds__(256) branch_mix_backward(
    const ELEMENT *upstream, const float *gate0, const float *gate1, const float *gate2,
    const ELEMENT *branch0, const ELEMENT *branch1, const ELEMENT *branch2,
    float *dgate0, float *dgate1, float *dgate2, int fresh_gate0, int fresh_gate1, int fresh_gate2,
    ELEMENT *dbranch0, ELEMENT *dbranch1, ELEMENT *dbranch2, int fresh0, int fresh1, int fresh2, long long rows)
{
    const Branch branches[3] = {
        {gate0, branch0, dgate0, dbranch0, fresh_gate0, fresh0},
        {gate1, branch1, dgate1, dbranch1, fresh_gate1, fresh1},
        {gate2, branch2, dgate2, dbranch2, fresh_gate2, fresh2}};
    long long row = own_row();
    bool is_row = row < rows;
    float sum[3] = {0, 0, 0};
    for (int column = own_lane() * 8; is_row && column < SIZE; column += LANES * 8)
    {
        long long at = row * SIZE + column;
        float gradient[8];
        load(upstream + at, gradient);
#pragma unroll
        for (int n = 0; n < 3; n++)
        {
            const Branch &branch = branches[n];
            if (branch.gate_gradient)
            {
                float values[8];
                load(branch.values + at, values);
#pragma unroll
                for (int i = 0; i < 8; i++) sum[n] = fmaf(gradient[i], values[i], sum[n]);
            }
            if (branch.gradient)
            {
                float share[8], gate = branch.gate[row];
#pragma unroll
                for (int i = 0; i < 8; i++) share[i] = gradient[i] * gate;
                store_or_add(share, branch.gradient + at, branch.fresh);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < 3; n++)
    {
#pragma unroll
        for (int step = LANES / 2; step > 0; step /= 2) sum[n] += __shfl_xor_sync(all_lanes, sum[n], step);
        float *target = branches[n].gate_gradient;
        if (is_row && own_lane() == 0 && target) target[row] = branches[n].fresh_gate ? sum[n] : target[row] + sum[n];
    }
}
