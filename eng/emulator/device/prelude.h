// CUDA C++ as plain C++: what nvcc builds in. It comes before every kernel text. `__global__` and `__launch_bounds__` are not
// here: the compiler step takes them out of the text and makes launchers of them.
#pragma once

#include "../runtime/runtime.h"

#include <limits.h>
#include <math.h>

#define CUDART_VERSION 13000

#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static thread_local // the runtime finds and poisons the module's thread-local memory

static thread_local unsigned char emulator_shared_memory[16];
extern "C" inline __attribute__((used)) unsigned char *emulator_static_shared() { return emulator_shared_memory; }

#define threadIdx (emulator::thread->index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
constexpr int warpSize = 32;

extern "C" int printf(const char *, ...);
#define assert(condition) ((condition) ? void() : emulator::fail("assertion failed: %s", #condition))
inline void __trap() { emulator::fail("__trap()"); }

// ---- Vector types ----

#define EMULATOR_VECTORS(T, name, align2, align4) \
    struct __attribute__((aligned(sizeof(T)))) name##1 { T x; }; \
    struct __attribute__((aligned(align2))) name##2 { T x, y; }; \
    struct name##3 { T x, y, z; }; \
    struct __attribute__((aligned(align4))) name##4 { T x, y, z, w; }; \
    constexpr name##1 make_##name##1(T x) { return {x}; } \
    constexpr name##2 make_##name##2(T x, T y) { return {x, y}; } \
    constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMULATOR_VECTORS(char, char, 2, 4)
EMULATOR_VECTORS(unsigned char, uchar, 2, 4)
EMULATOR_VECTORS(short, short, 4, 8)
EMULATOR_VECTORS(unsigned short, ushort, 4, 8)
EMULATOR_VECTORS(int, int, 8, 16)
EMULATOR_VECTORS(unsigned, uint, 8, 16)
EMULATOR_VECTORS(long long, longlong, 16, 16)
EMULATOR_VECTORS(unsigned long long, ulonglong, 16, 16)
EMULATOR_VECTORS(float, float, 8, 16)
EMULATOR_VECTORS(double, double, 16, 16)

struct dim3
{
    unsigned x = 1, y = 1, z = 1;
};

// ---- Bits of numbers ----

inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
inline double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
inline int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned __int128)a * b >> 64; }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return unsigned((((unsigned long long)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return unsigned(((unsigned long long)high << 32 | low) >> (shift & 31));
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector)
{
    unsigned long long bytes = (unsigned long long)high << 32 | low;
    unsigned y = 0;
    for (int i = 0; i < 4; i++) y |= unsigned(bytes >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return y;
}

// ---- Arithmetic ----

#define EMULATOR_MIN_MAX(T) \
    constexpr T min(T a, T b) { return b < a ? b : a; } \
    constexpr T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MIN_MAX(int)
EMULATOR_MIN_MAX(unsigned)
EMULATOR_MIN_MAX(long)
EMULATOR_MIN_MAX(unsigned long)
EMULATOR_MIN_MAX(long long)
EMULATOR_MIN_MAX(unsigned long long)
// As CUDA mixes them: an unsigned operand makes the other one unsigned.
constexpr unsigned min(int a, unsigned b) { return min(unsigned(a), b); }
constexpr unsigned min(unsigned a, int b) { return min(a, unsigned(b)); }
constexpr unsigned max(int a, unsigned b) { return max(unsigned(a), b); }
constexpr unsigned max(unsigned a, int b) { return max(a, unsigned(b)); }
constexpr long long min(int a, long long b) { return min((long long)a, b); }
constexpr long long min(long long a, int b) { return min(a, (long long)b); }
constexpr long long max(int a, long long b) { return max((long long)a, b); }
constexpr long long max(long long a, int b) { return max(a, (long long)b); }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
inline float sinpif(float x) { return float(sin(M_PI * double(x))); }
inline float cospif(float x) { return float(cos(M_PI * double(x))); }
inline void sincospif(float x, float *s, float *c) { *s = sinpif(x), *c = cospif(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline float __saturatef(float x) { return x > 0 ? fminf(x, 1.0f) : 0.0f; }

inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.0f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline void __sincosf(float x, float *s, float *c) { *s = sinf(x), *c = cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

inline int __float2int_rn(float x) { return int(rintf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
inline int __float2int_ru(float x) { return int(ceilf(x)); }
inline unsigned __float2uint_rn(float x) { return unsigned(rintf(x)); }
inline unsigned __float2uint_rz(float x) { return unsigned(x); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __ll2float_rn(long long x) { return float(x); }
inline float __double2float_rn(double x) { return float(x); }
inline double __int2double_rn(int x) { return x; }
inline double __ll2double_rn(long long x) { return double(x); }

// ---- Memory ----

template <class T> T __ldg(const T *address) { return *address; }
template <class T> T __ldcs(const T *address) { return *address; }
template <class T> T __ldcg(const T *address) { return *address; }
template <class T> T __ldca(const T *address) { return *address; }
template <class T> T __ldlu(const T *address) { return *address; }
template <class T> void __stcs(T *address, T value) { *address = value; }
template <class T> void __stcg(T *address, T value) { *address = value; }
template <class T> void __stwb(T *address, T value) { *address = value; }
template <class T> void __stwt(T *address, T value) { *address = value; }

inline size_t __cvta_generic_to_shared(const void *pointer) { return emulator::shared_offset(pointer); }

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
inline long long clock64() { return __builtin_ia32_rdtsc(); }
inline int clock() { return int(clock64()); }
inline long long __globaltimer() { return clock64(); }

// Fibers give way at synchronizing calls only: plain reads and writes are atomic.
template <class T> struct EmulatorSame { using type = T; };
#define EMULATOR_ATOMIC(name, expression) \
    template <class T> T name(T *address, typename EmulatorSame<T>::type value) \
    { \
        T old = *address; \
        *address = expression; \
        return old; \
    }
EMULATOR_ATOMIC(atomicAdd, old + value)
EMULATOR_ATOMIC(atomicSub, old - value)
EMULATOR_ATOMIC(atomicExch, value)
EMULATOR_ATOMIC(atomicMin, value < old ? value : old)
EMULATOR_ATOMIC(atomicMax, old < value ? value : old)
EMULATOR_ATOMIC(atomicAnd, old & value)
EMULATOR_ATOMIC(atomicOr, old | value)
EMULATOR_ATOMIC(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
EMULATOR_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
template <class T> T atomicCAS(T *address, typename EmulatorSame<T>::type expected, typename EmulatorSame<T>::type value)
{
    T old = *address;
    if (old == expected) *address = value;
    return old;
}

// ---- Threads together ----

#define __syncthreads() ((void)emulator::sync_block())
inline int __syncthreads_count(int x) { return emulator::sync_block(x != 0).nonzero; }
inline int __syncthreads_or(int x) { return emulator::sync_block(x != 0).nonzero != 0; }
inline int __syncthreads_and(int x)
{
    emulator::Votes votes = emulator::sync_block(x != 0);
    return votes.nonzero == votes.voters;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::sync_warp(mask); }
inline unsigned __activemask() { emulator::fail("__activemask is not modelled: fibers of a warp do not run in step"); }

template <class T> unsigned long long emulator_to_bits(T value)
{
    static_assert(sizeof(T) <= 8);
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T> T emulator_from_bits(unsigned long long bits)
{
    T value;
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

// `source` lies outside the segment: the lane keeps its own value.
template <class T> T emulator_shuffle(unsigned mask, T value, int source, bool is_inside)
{
    unsigned long long lanes[32];
    emulator::exchange(mask, emulator_to_bits(value), lanes);
    return is_inside ? emulator_from_bits<T>(lanes[source & 31]) : value;
}

inline int emulator_lane() { return emulator::thread->number % 32; }
inline int emulator_segment(int width) { return emulator_lane() & ~(width - 1); }

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    return emulator_shuffle(mask, value, emulator_segment(width) + (source & (width - 1)), true);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    int source = emulator_lane() - int(delta);
    return emulator_shuffle(mask, value, source, source >= emulator_segment(width));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    int source = emulator_lane() + int(delta);
    return emulator_shuffle(mask, value, source, source < emulator_segment(width) + width);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32)
{
    int source = emulator_lane() ^ bits;
    return emulator_shuffle(mask, value, source, source < emulator_segment(width) + width);
}

inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    unsigned long long lanes[32];
    unsigned present = emulator::exchange(mask, predicate != 0, lanes), votes = 0;
    for (int i = 0; i < 32; i++) votes |= unsigned(present >> i & 1 & unsigned(lanes[i])) << i;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T> unsigned __match_any_sync(unsigned mask, T value)
{
    unsigned long long lanes[32];
    unsigned present = emulator::exchange(mask, emulator_to_bits(value), lanes), equal = 0;
    for (int i = 0; i < 32; i++)
        if ((present >> i & 1) && lanes[i] == emulator_to_bits(value)) equal |= 1u << i;
    return equal;
}

#define EMULATOR_REDUCE(name, expression) \
    template <class T> T name(unsigned mask, T value) \
    { \
        unsigned long long lanes[32]; \
        unsigned present = emulator::exchange(mask, emulator_to_bits(value), lanes); \
        T a{}; \
        bool is_first = true; \
        for (int i = 0; i < 32; i++) \
        { \
            if (!(present >> i & 1)) continue; \
            T b = emulator_from_bits<T>(lanes[i]); \
            a = is_first ? b : T(expression); \
            is_first = false; \
        } \
        return a; \
    }
EMULATOR_REDUCE(__reduce_add_sync, a + b)
EMULATOR_REDUCE(__reduce_min_sync, min(a, b))
EMULATOR_REDUCE(__reduce_max_sync, max(a, b))
EMULATOR_REDUCE(__reduce_and_sync, a &b)
EMULATOR_REDUCE(__reduce_or_sync, a | b)
EMULATOR_REDUCE(__reduce_xor_sync, a ^ b)

// ---- What turns a kernel into a launcher ----

template <size_t... i> struct EmulatorIndices {};

// The host's copy need not have the type's alignment.
template <class T> T emulator_argument(const void *value)
{
    T copy;
    __builtin_memcpy(&copy, value, sizeof(T));
    return copy;
}

template <class... Arguments, size_t... i> void emulator_call(void (*kernel)(Arguments...), void **values, EmulatorIndices<i...>)
{
    kernel(emulator_argument<Arguments>(values[i])...);
}

template <class... Arguments> void emulator_launch(void (*kernel)(Arguments...), void **values)
{
    emulator_call(kernel, values, EmulatorIndices<__integer_pack(sizeof...(Arguments))...>());
}

// The bytes of each argument, for who keeps a launch; 0 ends them.
template <class... Arguments> const int *emulator_sizes(void (*)(Arguments...))
{
    static const int sizes[] = {int(sizeof(Arguments))..., 0};
    return sizes;
}

constexpr int emulator_first(int first, int = 0, int = 0) { return first; }
