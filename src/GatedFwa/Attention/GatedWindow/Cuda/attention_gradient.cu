// What comes after the backward kernels: the decay's gradient from the sums of dS.
//
// Defines: ELEMENT, SUM (what sums of dS are kept in: float, or double where float32 gradients are held to 1e-5 at any length).
#include "elements.cuh"

// dalpha_s = -C(s), C(s) the sum of dS_ij over j < s <= i: what the keys before s have given out less what the queries before s
// have taken, summed from the segment's start. Row sums of dS are zero but for rounding; taking them as they came, where they are
// given, lets that rounding cancel. Spans of 1024 positions are summed first and then walked again from what the spans before leave behind.

constexpr int span_threads = 256, per_thread = 4, span = span_threads * per_thread;

struct Crossing
{
    double sum;
    int restarts; // a segment begins inside: nothing before it counts
};

__device__ __forceinline__ Crossing operator+(Crossing before, Crossing next)
{
    return {next.restarts ? next.sum : before.sum + next.sum, before.restarts | next.restarts};
}

struct Sums
{
    const SUM *columns, *rows; // [B, H, S]; [B, H, T], or none
    const int *segment_start;  // [B, S], or none
    int tokens, positions, heads;

    // C(position + 1) - C(position)
    __device__ __forceinline__ Crossing at(int head_row, int position) const
    {
        if (position >= positions) return {0, 0};
        int start = segment_start ? segment_start[(long long)(head_row / heads) * positions + position] : 0;
        if (start > position) return {0, 1}; // padding
        double sum = columns[(long long)head_row * positions + position];
        int token = position - (positions - tokens);
        if (rows && token >= 0) sum -= rows[(long long)head_row * tokens + token];
        return {sum, start == position};
    }
};

// Of everything before this thread's positions, within the span.
__device__ __forceinline__ Crossing before_this_thread(Crossing own, Crossing *scratch, Crossing &all)
{
    scratch[threadIdx.x] = own;
    __syncthreads();
    for (int step = 1; step < span_threads; step *= 2)
    {
        Crossing before = {0, 0};
        if ((int)threadIdx.x >= step) before = scratch[threadIdx.x - step];
        __syncthreads();
        scratch[threadIdx.x] = before + scratch[threadIdx.x];
        __syncthreads();
    }
    all = scratch[span_threads - 1];
    Crossing before = {0, 0};
    if (threadIdx.x > 0) before = scratch[threadIdx.x - 1];
    return before;
}

// spans [B, H, spans]
extern "C" __global__ void __launch_bounds__(span_threads) decay_gradient_spans(
    const SUM *columns, const SUM *rows, const int *segment_start, Crossing *spans, int tokens, int positions, int heads)
{
    __shared__ Crossing scratch[span_threads];
    Sums sums = {columns, rows, segment_start, tokens, positions, heads};
    int head_row = blockIdx.y, first = blockIdx.x * span + threadIdx.x * per_thread;
    Crossing own = {0, 0}, all;
    for (int i = 0; i < per_thread; i++) own = own + sums.at(head_row, first + i);
    before_this_thread(own, scratch, all);
    if (threadIdx.x == 0) spans[(long long)head_row * gridDim.x + blockIdx.x] = all;
}

// dalpha [B, S, H]
extern "C" __global__ void __launch_bounds__(span_threads) decay_gradient(
    const SUM *columns, const SUM *rows, const int *segment_start, const Crossing *spans, float *dalpha, int add,
    int tokens, int positions, int heads)
{
    __shared__ Crossing scratch[span_threads];
    Sums sums = {columns, rows, segment_start, tokens, positions, heads};
    int head_row = blockIdx.y, first = blockIdx.x * span + threadIdx.x * per_thread;

    // Each thread a run of the spans before, in order; then the runs in order.
    Crossing carry = {0, 0}, all;
    int run = ((int)blockIdx.x + span_threads - 1) / span_threads;
    for (int i = threadIdx.x * run; i < min((int)(threadIdx.x + 1) * run, (int)blockIdx.x); i++)
        carry = carry + spans[(long long)head_row * gridDim.x + i];
    before_this_thread(carry, scratch, all);
    carry = all;
    __syncthreads();

    Crossing own[per_thread], mine = {0, 0};
    for (int i = 0; i < per_thread; i++) mine = mine + (own[i] = sums.at(head_row, first + i));
    Crossing crossing = carry + before_this_thread(mine, scratch, all);
    for (int i = 0; i < per_thread; i++)
    {
        int position = first + i;
        if (position >= positions) return;
        // Nothing crosses a segment's first position.
        float gradient = own[i].restarts ? 0 : (float)-crossing.sum;
        float *target = dalpha + ((long long)(head_row / heads) * positions + position) * heads + head_row % heads;
        *target = add ? *target + gradient : gradient;
        crossing = crossing + own[i];
    }
}
