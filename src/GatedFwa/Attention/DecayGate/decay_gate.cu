// The gate from its projections on (docs/operator.md, "The gate"): one kernel reads each pre-activation once and writes alpha and,
// where asked for, its two-level prefix; one kernel writes the gradient of the projections. Projections are [tokens, PARTS, 2 heads]:
// h without its bias, then the amplitude's pre-activation, so that what a block reads and what it writes are both one stretch. Where a
// library has multiplied factors of bf16 there are two parts to add up: what the weights rounded to bf16 give, and what the remainders
// give.
//
// Defines: ELEMENT (of the gradient of the projections), PARTS (1 or 2), LANES (heads that are one access of a thread: 4, or 1 where
// their number is no multiple of it), MOST_DECAY.
#include "decay_chunk.cuh"
#include "gate_decay.cuh"
#include "packs.cuh"
#include "programmatic.cuh"

__device__ __forceinline__ void load_projections(const float *source, int heads, float (&values)[LANES])
{
    load(source, values);
    if constexpr (PARTS == 2)
    {
        float remainders[LANES];
        load(source + 2 * heads, remainders);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) values[lane] += remainders[lane];
    }
}

// Four heads of 16 bits are one access, too, of 8 bytes.
template <class E> __device__ __forceinline__ void store_heads(const float (&values)[LANES], E *target)
{
    if constexpr (LANES == 4 && sizeof(E) == 2)
        *reinterpret_cast<uint2 *>(target) = make_uint2(pack2<E>(values[0], values[1]), pack2<E>(values[2], values[3]));
    else
        store(values, target);
}

// alpha [B, positions, heads]; local [2, B, heads, positions], totals [2, B, heads, chunks] (decay_chunk.cuh), both null where nobody
// asks. Blocks: chunk, 16 heads, batch.
extern "C" __global__ void __launch_bounds__(tile_threads)
decay_gate_forward(const float *projections, const float *bias, float epsilon, float *alpha, float *local, float *totals,
                   int positions, int heads)
{
    __shared__ float tile[tile_heads][tile_stride];
    const DecayChunk chunk(positions, heads);
    wait_for_earlier_kernels();
    const int accesses = chunk.head_count / LANES;
    for (int i = threadIdx.x; i < chunk.count * accesses; i += tile_threads)
    {
        const int t = i / accesses, head = (i % accesses) * LANES;
        const long long token = (long long)blockIdx.z * positions + chunk.start + t;
        const float *z = projections + token * PARTS * 2 * heads + chunk.first_head + head;
        float h[LANES], a[LANES], b[LANES], decay[LANES];
        load_projections(z, heads, h);
        load_projections(z + heads, heads, a);
        load(bias + chunk.first_head + head, b);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++)
        {
            decay[lane] = gate_decay(h[lane] + b[lane], a[lane], epsilon);
            tile[head + lane][t] = decay_in_sum(decay[lane]);
        }
        store(decay, alpha + token * heads + chunk.first_head + head);
    }

    if (!local) return;
    __syncthreads();
    chunk.write_sums<false>(tile, nullptr, local, totals);
}

// From G, the gradient of alpha: dh = -G beta/(beta+eps) sigmoid(-beta h); dbeta = -G [h sigmoid(-beta h) + alpha] / (beta+eps); beta's
// slope is 1 above 0, e^a below. Tokens of dprojections begin `stride` elements apart. bias_sums [tiles, heads]: the sum of each tile's
// dh, from float. Blocks: 64 tokens, 16 heads.
extern "C" __global__ void __launch_bounds__(tile_threads)
decay_gate_backward(const float *projections, const float *bias, float epsilon, const float *dalpha, ELEMENT *dprojections, int stride,
                    float *bias_sums, int tokens, int heads)
{
    let_next_kernel_begin();
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
        load(bias + first_head + head, b);
        load(dalpha + token * heads + first_head + head, upstream);
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
