// Values that blocks of one launch hand to one another through global memory (LaunchShape.Cooperative: all of them run). A value travels
// beside a tag, the number of the step that it belongs to, in the same 8 bytes: who reads the tag has the value, after one trip through
// the second-level cache instead of two (a flag, then the data), and no fence is needed. A tag is used once for a place, and not the one
// that memory begins with.
#pragma once

__device__ __forceinline__ unsigned long long tagged(unsigned value, unsigned tag) { return (unsigned long long)tag << 32 | value; }

// One access of 64 bits: PTX lets a vector come in pieces, a scalar never.
__device__ __forceinline__ void publish(uint2 *target, unsigned value, unsigned tag)
{
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(target), "l"(tagged(value, tag)) : "memory");
}

// Two at once. Each half has its own tag, so they may arrive one after the other.
__device__ __forceinline__ void publish2(uint4 *target, unsigned first, unsigned second, unsigned tag)
{
    asm volatile("st.relaxed.gpu.global.v2.u64 [%0], {%1, %2};" ::"l"(target), "l"(tagged(first, tag)), "l"(tagged(second, tag)) : "memory");
}

// Two pairs as they are now, in the second-level cache; words that are not missing stay as they are. No branch around the load: loads of
// several addresses are under way together.
__device__ __forceinline__ void poll(const uint4 *source, bool is_missing, unsigned long long &first, unsigned long long &second)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %3, 0;\n@p ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];\n}"
                 : "+l"(first), "+l"(second)
                 : "l"(source), "r"((unsigned)is_missing)
                 : "memory");
}

// Until all pairs of a warp's lanes have this tag: the values of sources[i] are values[i]. What has come is not read again. Whole warps call
// it, and go on together: lanes that wait each for its own get in one another's way.
template <int N> __device__ __forceinline__ void await_pairs(const uint4 *const (&sources)[N], unsigned tag, uint2 (&values)[N])
{
    unsigned long long first[N], second[N];
    bool is_missing[N], is_any_missing;
#pragma unroll
    for (int i = 0; i < N; i++) first[i] = second[i] = 0, is_missing[i] = true;
    do
    {
        is_any_missing = false;
#pragma unroll
        for (int i = 0; i < N; i++) poll(sources[i], is_missing[i], first[i], second[i]);
#pragma unroll
        for (int i = 0; i < N; i++)
        {
            is_missing[i] = (unsigned)(first[i] >> 32) != tag || (unsigned)(second[i] >> 32) != tag;
            is_any_missing |= is_missing[i];
        }
    } while (__any_sync(0xffffffffu, is_any_missing));
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = make_uint2((unsigned)first[i], (unsigned)second[i]);
}

__device__ __forceinline__ uint2 await_pair(const uint4 *source, unsigned tag)
{
    const uint4 *const sources[1] = {source};
    uint2 values[1];
    await_pairs<1>(sources, tag, values);
    return values[0];
}
