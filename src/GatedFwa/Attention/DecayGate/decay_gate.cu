// The gate from its projections on (docs/operator.md, "The gate"): one kernel reads each pre-activation once and writes alpha and,
// where asked for, its two-level prefix; one kernel writes the gradient of the projections. Projections are [tokens, PARTS, 2 heads]:
// h without its bias, then the amplitude's pre-activation, so that what a block reads and what it writes are both one stretch. Where
// the product's factors are bf16 there are two parts to add up: what the weights rounded to bf16 give, and what the remainders give.
// LANES heads, 1 or 4, are one access of a thread.
#include "elements.cuh"
#include "warp.cuh"

constexpr int chunk_positions = 64;
constexpr int tile_heads = 16;
constexpr int tile_threads = 256;
constexpr int lanes_per_head = tile_threads / tile_heads;
constexpr int positions_per_lane = chunk_positions / lanes_per_head;
// 66: four heads further is eight banks further, so the eight positions and four quads of a warp meet in no bank.
constexpr int tile_stride = chunk_positions + 2;

// A token's decay in a sum: more cuts the past off as well as infinity does, and would blur what follows it (DecayGatePrefix.MostDecay).
constexpr float most_decay = MOST_DECAY;

__device__ __forceinline__ void load_heads(const float *source, float *values)
{
    if constexpr (LANES == 4)
        Pack16<float>::load(source, values);
    else
        values[0] = *source;
}

__device__ __forceinline__ void load_projections(const float *source, int heads, float *values)
{
    load_heads(source, values);
    if constexpr (PARTS == 2)
    {
        float remainders[LANES];
        load_heads(source + 2 * heads, remainders);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) values[lane] += remainders[lane];
    }
}

template <class E> __device__ __forceinline__ void store_heads(const float *values, E *target)
{
    if constexpr (LANES == 1)
        *target = from_float<E>(values[0]);
    else if constexpr (sizeof(E) == 4)
        Pack16<E>::store(values, target);
    else
        *reinterpret_cast<uint2 *>(target) = make_uint2(pack2<E>(values[0], values[1]), pack2<E>(values[2], values[3]));
}

// The amplitude 1 + ELU(a), without the detour over e^a - 1: small ones keep their relative precision.
__device__ __forceinline__ float amplitude(float a) { return a >= 0 ? 1 + a : expf(a); }

__device__ __forceinline__ float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

__device__ __forceinline__ void split(double x, float &high, float &low)
{
    high = (float)x;
    low = (float)(x - high);
}

// alpha [B, positions, heads]; local [2, B, heads, positions]: the sum from the start of each chunk of 64, as a float and, a whole
// array behind, what it rounds off; totals [2, B, heads, chunks]: the sum of each; both null where nobody asks. Blocks: chunk, 16
// heads, batch.
extern "C" __global__ void __launch_bounds__(tile_threads)
decay_gate_forward(const float *projections, const float *bias, float epsilon, float *alpha, float *local, float *totals,
                   int positions, int heads)
{
    __shared__ float tile[tile_heads][tile_stride];
    const int start = blockIdx.x * chunk_positions, count = min(chunk_positions, positions - start);
    const int first_head = blockIdx.y * tile_heads, head_count = min(tile_heads, heads - first_head);
    const int accesses = head_count / LANES;
    for (int i = threadIdx.x; i < count * accesses; i += tile_threads)
    {
        const int t = i / accesses, head = (i % accesses) * LANES;
        const long long token = (long long)blockIdx.z * positions + start + t;
        const float *z = projections + token * PARTS * 2 * heads + first_head + head;
        float h[LANES], a[LANES], b[LANES], decay[LANES];
        load_projections(z, heads, h);
        load_projections(z + heads, heads, a);
        load_heads(bias + first_head + head, b);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
        {
            const float beta = amplitude(a[lane]);
            decay[lane] = softplus(-beta * (h[lane] + b[lane])) / (beta + epsilon);
            // Not fminf: NaN must stay NaN.
            tile[head + lane][t] = decay[lane] > most_decay ? most_decay : decay[lane];
        }
        store_heads(decay, alpha + token * heads + first_head + head);
    }

    if (!local) return;
    __syncthreads();
    // 16 lanes a head, four positions a lane, in double: a strong decay early in a chunk must not blur the weak ones after it.
    const int head = threadIdx.x / lanes_per_head, lane = threadIdx.x % lanes_per_head;
    double sums[positions_per_lane], sum = 0;
#pragma unroll
    for (int i = 0; i < positions_per_lane; i++)
    {
        const int t = lane * positions_per_lane + i;
        if (head < head_count && t < count) sum += tile[head][t];
        sums[i] = sum;
    }
    double before = sum;
#pragma unroll
    for (int step = 1; step < lanes_per_head; step <<= 1)
    {
        const double other = __shfl_up_sync(all_lanes, before, step, lanes_per_head);
        if (lane >= step) before += other;
    }
    const double total = __shfl_sync(all_lanes, before, lanes_per_head - 1, lanes_per_head);
    before = __shfl_up_sync(all_lanes, before, 1, lanes_per_head);
    if (lane == 0) before = 0;
    if (head >= head_count) return;

    float high[positions_per_lane], low[positions_per_lane];
#pragma unroll
    for (int i = 0; i < positions_per_lane; i++) split(before + sums[i], high[i], low[i]);
    const long long row = (long long)blockIdx.z * heads + first_head + head, rows = (long long)gridDim.z * heads;
    const int t = lane * positions_per_lane;
    float *target = local + row * positions + start + t;
    if (positions % positions_per_lane == 0)
    {
        if (t < count)
        {
            Pack16<float>::store(high, target);
            Pack16<float>::store(low, target + rows * positions);
        }
    }
    else
    {
#pragma unroll
        for (int i = 0; i < positions_per_lane; i++)
        {
            if (t + i >= count) continue;
            target[i] = high[i];
            target[rows * positions + i] = low[i];
        }
    }
    if (lane == 0)
    {
        split(total, high[0], low[0]);
        totals[row * gridDim.x + blockIdx.x] = high[0];
        totals[(rows + row) * gridDim.x + blockIdx.x] = low[0];
    }
}

// dh = -G beta/(beta+eps) sigmoid(-beta h); dbeta = -G [h sigmoid(-beta h) + alpha] / (beta+eps); beta's slope is 1 above 0, e^a
// below. Tokens of dprojections begin `stride` elements apart. bias_sums [tiles, heads]: the sum of each tile's dh, from float. Blocks:
// 64 tokens, 16 heads.
extern "C" __global__ void __launch_bounds__(tile_threads)
decay_gate_backward(const float *projections, const float *bias, float epsilon, const float *dalpha, ELEMENT *dprojections, int stride,
                    float *bias_sums, int tokens, int heads)
{
    __shared__ float tile[tile_heads][tile_stride];
    const int start = blockIdx.x * chunk_positions, count = min(chunk_positions, tokens - start);
    const int first_head = blockIdx.y * tile_heads, head_count = min(tile_heads, heads - first_head);
    const int accesses = head_count / LANES;
    for (int i = threadIdx.x; i < count * accesses; i += tile_threads)
    {
        const int t = i / accesses, head = (i % accesses) * LANES;
        const long long token = start + t, target = token * stride + first_head + head;
        const float *z = projections + token * PARTS * 2 * heads + first_head + head;
        float h[LANES], a[LANES], b[LANES], upstream[LANES], dh[LANES], da[LANES];
        load_projections(z, heads, h);
        load_projections(z + heads, heads, a);
        load_heads(bias + first_head + head, b);
        load_heads(dalpha + token * heads + first_head + head, upstream);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
        {
            h[lane] += b[lane];
            const float beta = amplitude(a[lane]), divisor = beta + epsilon, m = -beta * h[lane];
            const float sigmoid = 1 / (1 + expf(-m)), scaled = -upstream[lane] / divisor;
            const float decay = softplus(m) / divisor;
            dh[lane] = scaled * beta * sigmoid;
            da[lane] = scaled * fmaf(h[lane], sigmoid, decay) * (a[lane] >= 0 ? 1.0f : beta);
            tile[head + lane][t] = dh[lane];
        }
        store_heads(dh, dprojections + target);
        store_heads(da, dprojections + target + heads);
    }

    __syncthreads();
    const int head = threadIdx.x / lanes_per_head, lane = threadIdx.x % lanes_per_head;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < positions_per_lane; i++)
    {
        const int t = lane * positions_per_lane + i;
        if (head < head_count && t < count) sum += tile[head][t];
    }
#pragma unroll
    for (int step = lanes_per_head / 2; step > 0; step >>= 1) sum += __shfl_xor_sync(all_lanes, sum, step);
    if (lane == 0 && head < head_count) bias_sums[(long long)blockIdx.x * heads + first_head + head] = sum;
}

// dbias [heads] += the sums of all tiles, always in the same order. A block a head.
extern "C" __global__ void __launch_bounds__(tile_threads)
decay_gate_bias(const float *bias_sums, float *dbias, int tiles, int heads)
{
    __shared__ double scratch[tile_threads / 32];
    double sum = 0;
    for (int tile = threadIdx.x; tile < tiles; tile += tile_threads) sum += bias_sums[(long long)tile * heads + blockIdx.x];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) dbias[blockIdx.x] += (float)sum;
}

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

// The way back for gradients; either may be null.
extern "C" __global__ void decay_gate_add(const float *stacked, float *gate, float *amplitude, int count)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    if (gate) gate[i] += stacked[i];
    if (amplitude) amplitude[i] += stacked[count + i];
}
