// What lies between a layer's projections of a token and its attention: token shift, QK norm, rotation and decay, each where the model
// has it. Each block of ring_decode.cu does as much of it as it needs; that all of them compute the norms' sums costs less than a kernel.
#pragma once
#include "elements.cuh"
#include "programmatic.cuh"
#include "warp.cuh"

constexpr int half = HEAD_SIZE / 2;
constexpr int query_width = QUERY_HEADS * HEAD_SIZE, key_width = KEY_HEADS * HEAD_SIZE;

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

// A row of projections is float [query | key | value | key shift | value shift | decay's h | its amplitude].
struct Token
{
    const float *projections;
    int stride; // From row to row.
    const float *query_norm, *key_norm;
    float epsilon;
    const float *angles;                              // [B, HEAD_SIZE]: cosines, sines of the token's position.
    const ELEMENT *previous_keys, *previous_values;   // [B, key_width]: the token before, ahead of its shift.
    const float *bias;                                // Of the decay.
    float decay_epsilon;

    // Before the projections can be read: what else `prepare` will want, which has not been touched since the last step.
    template <int threads>
    __device__ __forceinline__ void prefetch_parameters(int row, int key_head, int first_head, int head_count, bool with_slot) const
    {
#if NORM
        if (threadIdx.x < head_count) prefetch(query_norm + (first_head + threadIdx.x) * HEAD_SIZE, HEAD_SIZE * sizeof(float));
        if (with_slot && threadIdx.x == 0) prefetch(key_norm + key_head * HEAD_SIZE, HEAD_SIZE * sizeof(float));
#endif
#if GATED
        if (with_slot && threadIdx.x == 0) prefetch(bias + first_head, sizeof(float));
#endif
#if ROTARY
        if (threadIdx.x == 0) prefetch(angles + row * HEAD_SIZE, HEAD_SIZE * sizeof(float));
#endif
#if SHIFTED
        constexpr int line = 128 / sizeof(ELEMENT);
        for (int i = threadIdx.x * line; with_slot && i < key_width; i += threads * line)
        {
            prefetch(previous_keys + row * key_width + i, 1);
            prefetch(previous_values + row * key_width + i, 1);
        }
#endif
    }

    // The queries of some heads to shared memory and, where a block needs it, the token's slot of its key head's ring; `keys`, `values`
    // and `alpha` begin at the slot, alpha's heads are `capacity` apart. `scratch` [2, warps].
    template <int threads>
    __device__ __forceinline__ void prepare(int row, int key_head, int first_head, int head_count, bool with_slot,
                                            float (*query)[HEAD_SIZE], ELEMENT *keys, ELEMENT *values, float *alpha, int capacity,
                                            float (*scratch)[threads / 32]) const
    {
        const float *q = projections + (long long)row * stride, *k = q + query_width, *v = k + key_width;
        const float *key_mix = v + key_width, *value_mix = key_mix + (SHIFTED ? KEY_HEADS : 0);
        const float *decay = value_mix + (SHIFTED ? KEY_HEADS : 0), *turns = angles + row * HEAD_SIZE;
        const ELEMENT *previous_key = previous_keys + row * key_width, *previous_value = previous_values + row * key_width;

        float factors[2] = {1, 1};
#if NORM
        // Loops of a known length without branches, so that all is sent for at once.
        float squares[2] = {};
#pragma unroll 4
        for (int round = 0; round < (QUERY_HEADS * half + threads - 1) / threads; round++)
        {
            const int i = round * threads + threadIdx.x;
            const bool exists = i < QUERY_HEADS * half;
            const Pair pair(q, exists ? i : 0);
            squares[0] += exists ? pair.first * pair.first + pair.second * pair.second : 0.0f;
        }
        if (with_slot)
        {
#pragma unroll 4
            for (int round = 0; round < (KEY_HEADS * half + threads - 1) / threads; round++)
            {
                const int i = round * threads + threadIdx.x;
                const bool exists = i < KEY_HEADS * half;
                const int index = exists ? i : 0;
                Pair pair(k, index);
                if (SHIFTED) pair.shift(key_mix[index / half], previous_key, index);
                squares[1] += exists ? pair.first * pair.first + pair.second * pair.second : 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            squares[i] = warp_sum(squares[i]);
            if (threadIdx.x % 32 == 0) scratch[i][threadIdx.x / 32] = squares[i];
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            float all = 0;
#pragma unroll
            for (int w = 0; w < threads / 32; w++) all += scratch[i][w];
            factors[i] = 1.f / sqrtf(all / (i == 0 ? query_width : key_width) + epsilon);
        }
#endif
        for (int i = threadIdx.x; i < head_count * half; i += threads)
        {
            const int index = first_head * half + i;
            Pair pair(q, index);
            if (NORM) pair.scale(factors[0], query_norm, index);
            if (ROTARY) pair.turn(turns, index);
            query[i / half][i % half] = pair.first;
            query[i / half][i % half + half] = pair.second;
        }
        if (with_slot)
        {
            for (int i = threadIdx.x; i < half; i += threads)
            {
                const int index = key_head * half + i;
                Pair key(k, index), value(v, index);
                if (SHIFTED)
                {
                    key.shift(key_mix[key_head], previous_key, index);
                    value.shift(value_mix[key_head], previous_value, index);
                }
                if (NORM) key.scale(factors[1], key_norm, index);
                if (ROTARY) key.turn(turns, index);
                key.store(keys, i);
                value.store(values, i);
            }
#if GATED
            // As decay_gate.cu has it.
            for (int h = threadIdx.x; h < head_count; h += threads)
            {
                const int head = first_head + h;
                const float a = decay[QUERY_HEADS + head], beta = a >= 0 ? 1 + a : expf(a), x = -beta * (decay[head] + bias[head]);
                const float softplus = fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
                alpha[(long long)h * capacity] = softplus / (beta + decay_epsilon);
            }
#endif
        }
        __syncthreads();
    }
};
