// Kernels that begin before the one ahead of them on the stream has ended (LaunchShape.Overlaps): what they read that no kernel
// writes, weights above all, is on its way by then. Launched the ordinary way, both functions do nothing.
#pragma once

// Until all earlier kernels are done and what they wrote can be read. Every thread calls it, and before it reads anything that they
// write or writes anything that they read. Of what they write no parameter may be a __restrict__ pointer: compilers take that for
// constant as long as the kernel runs, and may read it ahead of this.
__device__ __forceinline__ void wait_for_earlier_kernels()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may begin as soon as every block has called this or ended.
__device__ __forceinline__ void let_next_kernel_begin()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Both at once, first thing, for kernels with nothing to do before earlier ones are done: their blocks are there when those end, and the
// next kernel's when they do. Whoever waits for such a kernel waits for all before it, because every thread of it has waited.
__device__ __forceinline__ void overlap()
{
    let_next_kernel_begin();
    wait_for_earlier_kernels();
}

// Brings bytes nearer, to the second-level cache: what a kernel can do before it may read them. A line is 128 bytes.
__device__ __forceinline__ void prefetch(const void *address, int bytes)
{
#pragma unroll
    for (int i = 0; i < bytes; i += 128) asm volatile("prefetch.global.L2 [%0];" ::"l"((const char *)address + i));
}

// The same by an engine of sm_90, for a multiple of 16 bytes from such an address; older GPUs do without.
__device__ __forceinline__ void prefetch_many(const void *address, int bytes)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(address), "r"(bytes) : "memory");
#endif
}

// 16 bytes that nobody reads again soon: the first that caches give up.
__device__ __forceinline__ uint4 load_once(const void *address)
{
    uint4 words;
    asm volatile("ld.global.cs.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
                 : "l"(address)
                 : "memory");
    return words;
}
