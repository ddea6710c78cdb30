// What a decoding step does beside its products: how it begins, and what lies between a layer's projections and its attention.
#include "elements.cuh"
#include "programmatic.cuh"
#include "warp.cuh"

// The new token's row of the residual stream x [B, width]; cosines and sines of its position [B, 2 half]; and the text is one longer:
// `positions` counts its tokens, a cursor is (one past the newest slot of its ring, slots in use). A block a text.
extern "C" __global__ void __launch_bounds__(256)
decode_begin(const int *tokens, const float *table, int vocabulary, int width, float *x, const double *frequencies, int half,
             float *angles, long long *positions, int2 *cursors, int capacity)
{
    const int row = blockIdx.x, token = tokens[row];
    const long long position = positions[row];
    const bool exists = (unsigned)token < (unsigned)vocabulary;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        x[(long long)row * width + i] = exists ? table[(long long)token * width + i] : __uint_as_float(0x7fffffffu);
    for (int j = threadIdx.x; j < half; j += blockDim.x)
    {
        double sine, cosine;
        sincos((double)position * frequencies[j], &sine, &cosine);
        angles[row * 2 * half + j] = (float)cosine;
        angles[row * 2 * half + half + j] = (float)sine;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    positions[row] = position + 1;
    const int2 cursor = cursors[row];
    cursors[row] = make_int2((cursor.x + 1) % capacity, min(cursor.y + 1, capacity));
}

#ifdef HEADS
constexpr int half = HEAD_SIZE / 2;
constexpr int query_pairs = HEADS * half, key_pairs = KEY_HEADS * half;
constexpr int query_width = HEADS * HEAD_SIZE, key_width = KEY_HEADS * HEAD_SIZE;

// Both halves' elements of a pair that is turned together; in between, the shift's mix with the token before.
struct Pair
{
    float first, second;

    __device__ __forceinline__ Pair(const float *projection, int index)
    {
        first = projection[index / half * HEAD_SIZE + index % half];
        second = projection[index / half * HEAD_SIZE + half + index % half];
    }

    // As the ordinary steps keep it: the token before in the activations' type.
    __device__ __forceinline__ void shift(float mix, const ELEMENT *previous, int index)
    {
        const float share = 1.f / (1.f + expf(-mix));
        const int at = index / half * HEAD_SIZE + index % half;
        first = share * first + (1.f - share) * to_float(previous[at]);
        second = share * second + (1.f - share) * to_float(previous[at + half]);
    }

    __device__ __forceinline__ void store(ELEMENT *target, int index) const
    {
        const int at = index / half * HEAD_SIZE + index % half;
        target[at] = from_float<ELEMENT>(first);
        target[at + half] = from_float<ELEMENT>(second);
    }

    __device__ __forceinline__ void scale(float factor, const float *weight, int index)
    {
        first *= factor * weight[index / half * HEAD_SIZE + index % half];
        second *= factor * weight[index / half * HEAD_SIZE + half + index % half];
    }

    __device__ __forceinline__ void turn(const float *angles, int index)
    {
        const float cosine = angles[index % half], sine = angles[half + index % half], turned = first * cosine - second * sine;
        second = second * cosine + first * sine;
        first = turned;
    }
};

// From a token's projections, float [query | key | value | key shift | value shift | decay's h | its amplitude] a row, to its query
// [B, heads, HEAD_SIZE] and its slot of the ring: token shift, QK norm, rotation, decay, each where the model has it. A block a text.
extern "C" __global__ void __launch_bounds__(1024)
decode_prepare(const float *projections, int stride, const float *query_norm, const float *key_norm, float epsilon, const float *angles,
               ELEMENT *previous_keys, ELEMENT *previous_values, const float *bias, float decay_epsilon, const int2 *cursors, int capacity,
               ELEMENT *query, ELEMENT *keys, ELEMENT *values, float *alpha)
{
    __shared__ float scratch[2][32];
    const int row = blockIdx.x, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const float *q = projections + (long long)row * stride, *k = q + query_width, *v = k + key_width;
    const float *key_mix = v + key_width, *value_mix = key_mix + (SHIFTED ? KEY_HEADS : 0), *decay = value_mix + (SHIFTED ? KEY_HEADS : 0);
    ELEMENT *previous_key = previous_keys + row * key_width, *previous_value = previous_values + row * key_width;
    let_next_kernel_begin();
    wait_for_earlier_kernels();
    angles += row * HEAD_SIZE;
    const int next = cursors[row].x, slot = next == 0 ? capacity - 1 : next - 1;

    float factors[2] = {1, 1};
#if NORM
    float squares[2] = {};
    for (int i = threadIdx.x; i < query_pairs; i += blockDim.x)
    {
        const Pair pair(q, i);
        squares[0] += pair.first * pair.first + pair.second * pair.second;
    }
    for (int i = threadIdx.x; i < key_pairs; i += blockDim.x)
    {
        Pair pair(k, i);
        if (SHIFTED) pair.shift(key_mix[i / half], previous_key, i);
        squares[1] += pair.first * pair.first + pair.second * pair.second;
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
    {
        squares[i] = warp_sum(squares[i]);
        if (threadIdx.x % 32 == 0) scratch[i][warp] = squares[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++)
    {
        float all = 0;
        for (int w = 0; w < warps; w++) all += scratch[i][w];
        factors[i] = 1.f / sqrtf(all / (i == 0 ? query_width : key_width) + epsilon);
    }
#endif

    for (int i = threadIdx.x; i < query_pairs; i += blockDim.x)
    {
        Pair pair(q, i);
        if (NORM) pair.scale(factors[0], query_norm, i);
        if (ROTARY) pair.turn(angles, i);
        pair.store(query + (long long)row * query_width, i);
    }
    for (int i = threadIdx.x; i < key_pairs; i += blockDim.x)
    {
        const int head = i / half;
        const long long target = (((long long)row * KEY_HEADS + head) * capacity + slot) * HEAD_SIZE - head * HEAD_SIZE;
        Pair key(k, i), value(v, i);
        const Pair raw_key = key, raw_value = value;
        if (SHIFTED)
        {
            key.shift(key_mix[head], previous_key, i);
            value.shift(value_mix[head], previous_value, i);
            raw_key.store(previous_key, i);
            raw_value.store(previous_value, i);
        }
        if (NORM) key.scale(factors[1], key_norm, i);
        if (ROTARY) key.turn(angles, i);
        key.store(keys + target, i);
        value.store(values + target, i);
    }
#if GATED
    // As decay_gate.cu has it.
    for (int head = threadIdx.x; head < HEADS; head += blockDim.x)
    {
        const float a = decay[HEADS + head], beta = a >= 0 ? 1 + a : expf(a), x = -beta * (decay[head] + bias[head]);
        const float softplus = fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
        alpha[((long long)row * HEADS + head) * capacity + slot] = softplus / (beta + decay_epsilon);
    }
#endif
}
#endif
