// What comes after the backward kernels: the decay's gradient from the sums of dS.
//
// Defines: SUM (what sums of dS are kept in: float, or double where float32 gradients are held to 1e-5 at any length),
// QUAD (heads of dalpha that are one access of a thread: 4, or 1 where their number is no multiple of it).
#include "packs.cuh"
#include "programmatic.cuh"
#include "segmented_sum.cuh"
#include "warp.cuh"

// dalpha_s = -C(s), C(s) the sum of dS_ij over j < s <= i: what the keys before s have given out less what the queries before s
// have taken, summed from the segment's start. Row sums of dS are zero but for rounding; taking them as they came, where they are
// given, lets that rounding cancel.
//
// A warp has a run of one head's positions, 256 of them at a step. Runs are summed first and then walked again from what the runs
// before leave behind. A block has a run of eight heads, so that what it writes are whole sectors.

constexpr int per_lane = 8, stretch = 32 * per_lane, block_heads = 8, threads = 32 * block_heads;
// 260: four heads further is sixteen banks further, so the sixteen positions and two quads of a warp meet in no bank.
constexpr int tile_stride = stretch + 4;

// Of all lanes before this one, and of the whole warp.
__device__ __forceinline__ SegmentedSum before_this_lane(SegmentedSum own, SegmentedSum &all)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1)
    {
        const SegmentedSum before = {__shfl_up_sync(all_lanes, own.value, step), __shfl_up_sync(all_lanes, own.restarts, step)};
        if (lane >= step) own = before + own;
    }
    all = {__shfl_sync(all_lanes, own.value, 31), __shfl_sync(all_lanes, own.restarts, 31)};
    const SegmentedSum before = {__shfl_up_sync(all_lanes, own.value, 1), __shfl_up_sync(all_lanes, own.restarts, 1)};
    return lane > 0 ? before : SegmentedSum{0, 0};
}

// The first `count` of a lane's neighbours; 16 bytes at a time where rows begin on 16 bytes.
template <class T> __device__ __forceinline__ void load_neighbours(const T *source, int count, bool aligned, T (&values)[per_lane])
{
    if (aligned && count >= per_lane)
    {
        uint4 raw[per_lane * sizeof(T) / 16];
#pragma unroll
        for (int i = 0; i < (int)(per_lane * sizeof(T) / 16); i++) raw[i] = reinterpret_cast<const uint4 *>(source)[i];
#pragma unroll
        for (int i = 0; i < per_lane; i++) values[i] = reinterpret_cast<const T *>(raw)[i];
        return;
    }
#pragma unroll
    for (int i = 0; i < per_lane; i++) values[i] = i < count ? source[i] : T(0);
}

// What a lane's positions add: C(position + 1) - C(position).
struct Positions
{
    double sums[per_lane];
    unsigned restarts; // a bit for each: a segment begins there, or it is padding

    __device__ __forceinline__ SegmentedSum at(int i) const { return {sums[i], (int)(restarts >> i & 1)}; }
};

struct Sums
{
    const SUM *columns, *rows; // [B, H, S]; [B, H, T], or none
    const int *segment_start;  // [B, S], or none
    int tokens, positions, heads;

    __device__ __forceinline__ Positions from(int batch, int head, int first) const
    {
        const bool aligned = positions % 4 == 0;
        const int count = positions - first;
        const long long row = (long long)batch * heads + head;
        SUM given[per_lane];
        int starts[per_lane] = {};
        load_neighbours(columns + row * positions + first, count, aligned, given);
        if (segment_start) load_neighbours(segment_start + (long long)batch * positions + first, count, aligned, starts);
        Positions own = {{}, 0};
#pragma unroll
        for (int i = 0; i < per_lane; i++)
        {
            const int position = first + i, token = position - (positions - tokens);
            own.sums[i] = given[i];
            if (rows && token >= 0 && position < positions) own.sums[i] -= rows[row * tokens + token];
            if (starts[i] > position) own.sums[i] = 0; // padding
            if (starts[i] >= position && position < positions) own.restarts |= 1u << i;
        }
        return own;
    }

    __device__ __forceinline__ SegmentedSum over(const Positions &own) const
    {
        SegmentedSum sum = {0, 0};
#pragma unroll
        for (int i = 0; i < per_lane; i++) sum = sum + own.at(i);
        return sum;
    }
};

// runs [B, H, runs], each of `steps` stretches. Blocks: run, eight heads, batch.
extern "C" __global__ void __launch_bounds__(threads) decay_gradient_runs(
    const SUM *columns, const SUM *rows, const int *segment_start, SegmentedSum *runs, int steps, int tokens, int positions, int heads)
{
    wait_for_earlier_kernels();
    let_next_kernel_begin(); // which reads what this reads
    const Sums sums = {columns, rows, segment_start, tokens, positions, heads};
    const int lane = threadIdx.x % 32, head = blockIdx.y * block_heads + threadIdx.x / 32;
    if (head >= heads) return;
    const int first = blockIdx.x * steps * stretch + lane * per_lane;
    SegmentedSum sum = {0, 0};
    for (int step = 0; step < steps; step++)
    {
        SegmentedSum all;
        before_this_lane(sums.over(sums.from(blockIdx.z, head, first + step * stretch)), all);
        sum = sum + all;
    }
    if (lane == 0) runs[((long long)blockIdx.z * heads + head) * gridDim.x + blockIdx.x] = sum;
}

// dalpha [B, S, H]. Follows decay_gradient_runs and may overlap it: what that reads, this may read at once.
extern "C" __global__ void __launch_bounds__(threads) decay_gradient(
    const SUM *columns, const SUM *rows, const int *segment_start, const SegmentedSum *runs, float *dalpha, int add, int steps,
    int tokens, int positions, int heads)
{
    __shared__ __align__(16) float tile[block_heads][tile_stride];
    let_next_kernel_begin();
    const Sums sums = {columns, rows, segment_start, tokens, positions, heads};
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int first_head = blockIdx.y * block_heads, head_count = min(block_heads, heads - first_head), head = first_head + warp;
    const bool takes_part = warp < head_count;
    int start = blockIdx.x * steps * stretch;
    const int end = min(start + steps * stretch, positions);
    Positions own = {{}, 0};
    if (takes_part) own = sums.from(blockIdx.z, head, start + lane * per_lane);

    wait_for_earlier_kernels();
    // Each lane some of the runs before, in order; then the lanes in order.
    SegmentedSum carry = {0, 0};
    if (takes_part)
    {
        const SegmentedSum *mine = runs + ((long long)blockIdx.z * heads + head) * gridDim.x;
        const int before = blockIdx.x, each = (before + 31) / 32;
        for (int i = lane * each; i < min((lane + 1) * each, before); i++) carry = carry + mine[i];
        before_this_lane(carry, carry);
    }

    for (; start < end; start += stretch)
    {
        if (takes_part)
        {
            SegmentedSum all;
            SegmentedSum crossing = carry + before_this_lane(sums.over(own), all);
            carry = carry + all;
            float gradients[per_lane];
#pragma unroll
            for (int i = 0; i < per_lane; i++)
            {
                // Nothing crosses a segment's first position.
                gradients[i] = own.at(i).restarts ? 0 : (float)(0 - crossing.value);
                crossing = crossing + own.at(i);
            }
#pragma unroll
            for (int i = 0; i < per_lane; i += 4) Pack16<float>::store(gradients + i, &tile[warp][lane * per_lane + i]);
            if (start + stretch < end) own = sums.from(blockIdx.z, head, start + stretch + lane * per_lane);
        }
        __syncthreads();
        const int accesses = head_count / QUAD, count = min(stretch, end - start);
        for (int i = threadIdx.x; i < count * accesses; i += threads)
        {
            const int position = i / accesses, first = (i % accesses) * QUAD;
            float *target = dalpha + ((long long)blockIdx.z * positions + start + position) * heads + first_head + first;
            float values[QUAD];
#pragma unroll
            for (int k = 0; k < QUAD; k++) values[k] = tile[first + k][position];
            store_or_add(values, target, !add);
        }
        __syncthreads();
    }
}
