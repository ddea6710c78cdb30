// Blocks of a cooperative launch (LaunchShape.Cooperative) that hand one another words through global memory. A word goes with a tag of
// when it was written, in the same 8 bytes: whoever finds the tag has the word, in one trip through the second-level cache where a flag
// beside the data would take two and a fence.
#pragma once

// One store of 64 bits, which nobody sees half of.
__device__ __forceinline__ void publish(uint2 *target, unsigned word, unsigned tag)
{
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(target), "l"((unsigned long long)tag << 32 | word) : "memory");
}

// Two pairs as they are now. The halves may be of different times: each has its own tag.
__device__ __forceinline__ uint4 peek(const uint4 *source)
{
    uint4 pairs;
    asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(pairs.x), "=r"(pairs.y), "=r"(pairs.z), "=r"(pairs.w)
                 : "l"(source)
                 : "memory");
    return pairs;
}

// Two words each from N places, as soon as all are there. All loads are on their way before the first is looked at, and only what was
// missing is asked for again.
template <int N> __device__ __forceinline__ void await_pairs(const uint4 *const (&sources)[N], unsigned tag, uint2 (&words)[N])
{
    uint4 pairs[N];
#pragma unroll
    for (int i = 0; i < N; i++) pairs[i] = peek(sources[i]);
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        while (pairs[i].y != tag || pairs[i].w != tag) pairs[i] = peek(sources[i]);
        words[i] = make_uint2(pairs[i].x, pairs[i].z);
    }
}
