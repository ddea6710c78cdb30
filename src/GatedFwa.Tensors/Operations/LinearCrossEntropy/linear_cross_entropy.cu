// Softmax over rows of logits: each token's loss and, written over its logits, the gradient of that loss.
#include "elements.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

constexpr float log2_e = 1.44269504f;
constexpr int max_warps = 32;
constexpr int row_threads = 512;
constexpr int packs_at_once = 7; // On their way to a thread's registers: of 50,304 logits half of its 13.
constexpr int packs_ahead = 8;   // On their way to shared memory, of each thread.

#ifdef KEEPS_ROW
typedef Pack16<ELEMENT> Pack;

// Σ exp(z - largest) of some logits, while the largest is not known yet.
struct RunningSum
{
    float largest, sum;

    template <int count> __device__ __forceinline__ void add(const float *z)
    {
        float most = z[0];
#pragma unroll
        for (int i = 1; i < count; i++) most = fmaxf(most, z[i]);
        if (most > largest)
        {
            sum *= exp2_fast((largest - most) * log2_e);
            largest = most;
        }
        float terms = 0;
#pragma unroll
        for (int i = 0; i < count; i++) terms += exp2_fast((z[i] - largest) * log2_e);
        sum += terms;
    }
};

// logits [rows, stride], rows 16-byte aligned; a block per row. A negative target is ignored; one beyond the vocabulary makes the
// loss NaN and teaches nothing. hits may be absent: 1 where the target's logit is the largest, the first of equals.
extern "C" __global__ void __launch_bounds__(row_threads, 2)
softmax_rows(ELEMENT *logits, const int *targets, float *losses, float *hits, int vocabulary, int stride)
{
    __shared__ float scratch[max_warps];
    __shared__ double sums[max_warps];
    DYNAMIC_SHARED(row_bytes);
    overlap();
    ELEMENT *z = logits + (long long)blockIdx.x * stride;
    ELEMENT *kept = KEEPS_ROW ? reinterpret_cast<ELEMENT *>(row_bytes) : z;
    const int target = targets[blockIdx.x];
    const int packs = vocabulary / Pack::count, tail = packs * Pack::count + threadIdx.x;
    if (target < 0 || target >= vocabulary)
    {
        if (threadIdx.x == 0) losses[blockIdx.x] = target < 0 ? 0.0f : __uint_as_float(0x7fffffffu);
        if (threadIdx.x == 0 && hits) hits[blockIdx.x] = 0;
        if (!DIFFERENTIATES) return;
        for (int i = threadIdx.x; i < vocabulary; i += row_threads) z[i] = from_float<ELEMENT>(0);
        return;
    }

    RunningSum running = {__uint_as_float(0xff800000u), 0}; // -inf
    float values[Pack::count];
    if constexpr (KEEPS_ROW && DIFFERENTIATES)
    {
        // Not by way of registers: what is on its way to them has a place in the first-level cache, of which two rows in shared memory
        // leave little. A thread reads only what it sent for, here and below: no barrier.
        const auto send = [&](int pack) {
            if (pack < packs) copy_async_16(kept + pack * Pack::count, z + pack * Pack::count, true);
            copy_async_commit();
        };
        for (int i = 0; i < packs_ahead; i++) send(threadIdx.x + i * row_threads);
        for (int pack = threadIdx.x; pack < packs; pack += row_threads)
        {
            send(pack + packs_ahead * row_threads);
            copy_async_wait<packs_ahead>();
            Pack::load(kept + pack * Pack::count, values);
            running.add<Pack::count>(values);
        }
    }
    else
    {
        for (int first = threadIdx.x; first < packs; first += packs_at_once * row_threads)
        {
            // All loads before the first use: what a thread waits for is memory.
            uint4 raw[packs_at_once];
#pragma unroll
            for (int i = 0; i < packs_at_once; i++)
            {
                const int pack = first + i * row_threads;
                if (pack < packs) raw[i] = reinterpret_cast<const uint4 *>(z)[pack];
            }
#pragma unroll
            for (int i = 0; i < packs_at_once; i++)
            {
                const int pack = first + i * row_threads;
                if (pack >= packs) break;
                Pack::load(reinterpret_cast<const ELEMENT *>(raw + i), values);
                running.add<Pack::count>(values);
            }
        }
    }
    if (tail < vocabulary)
    {
        if (KEEPS_ROW && DIFFERENTIATES) kept[tail] = z[tail];
        values[0] = to_float(z[tail]);
        running.add<1>(values);
    }

    const float at_target = to_float(z[target]); // Before the barriers below: afterwards it is written over.
    const float largest = block_max(running.largest, scratch);
    // A thread that saw no logit has a sum of 0, whatever it is multiplied with.
    const double mine = running.sum == 0 ? 0.0 : (double)(running.sum * exp2_fast((running.largest - largest) * log2_e));
    const double sum = block_sum(mine, sums);
    if (threadIdx.x == 0) losses[blockIdx.x] = (float)(log(sum) - (double)(at_target - largest));
    if (hits)
    {
        float missed = !(at_target == largest);
        for (int i = threadIdx.x; !missed && i < target; i += row_threads) missed = to_float(z[i]) == largest;
        missed = block_max(missed, scratch);
        if (threadIdx.x == 0) hits[blockIdx.x] = 1 - missed;
    }
    if (!DIFFERENTIATES) return;

    const float inverse = (float)(1.0 / sum);
    for (int pack = threadIdx.x; pack < packs; pack += row_threads)
    {
        Pack::load(kept + pack * Pack::count, values);
        const int hit = target - pack * Pack::count;
#pragma unroll
        for (int i = 0; i < Pack::count; i++) values[i] = exp2_fast((values[i] - largest) * log2_e) * inverse;
        if (0 <= hit && hit < Pack::count)
        {
#pragma unroll
            for (int i = 0; i < Pack::count; i++) values[i] -= i == hit;
        }
        Pack::store(values, z + pack * Pack::count);
    }
    if (tail < vocabulary)
        z[tail] = from_float<ELEMENT>(exp2_fast((to_float(kept[tail]) - largest) * log2_e) * inverse - (tail == target ? 1.0f : 0.0f));
}
#endif

// loss = the mean over targets that are not ignored, 0 where all are; share = 1 / their number; accuracy, where there are hits, their
// mean. One block.
extern "C" __global__ void __launch_bounds__(1024)
mean_loss(const float *losses, const int *targets, const float *hits, int tokens, float *loss, float *share, float *accuracy)
{
    __shared__ double sums[max_warps];
    double sum = 0, counted = 0, right = 0;
    for (int i = threadIdx.x; i < tokens; i += blockDim.x)
    {
        sum += losses[i];
        counted += targets[i] >= 0;
        if (hits) right += hits[i];
    }
    sum = block_sum(sum, sums);
    counted = block_sum(counted, sums);
    if (hits) right = block_sum(right, sums);
    if (threadIdx.x != 0) return;
    const double part = 1 / (counted > 1 ? counted : 1.0);
    *loss = (float)(sum * part);
    *share = (float)part;
    if (hits) *accuracy = (float)(right * part);
}

#ifdef STORES
// sum (+)= term · dloss · share, eight neighbours a thread.
extern "C" __global__ void __launch_bounds__(256)
scale(const TERM *term, const float *dloss, const float *share, ELEMENT *sum, long long count)
{
    const float factor = *dloss * *share;
    long long first = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (first + 8 <= count)
    {
        float terms[8], total[8];
#pragma unroll
        for (int i = 0; i < 8; i += Pack16<TERM>::count) Pack16<TERM>::load(term + first + i, terms + i);
        if (!STORES)
        {
#pragma unroll
            for (int i = 0; i < 8; i += Pack16<ELEMENT>::count) Pack16<ELEMENT>::load(sum + first + i, total + i);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) total[i] = STORES ? terms[i] * factor : total[i] + terms[i] * factor;
#pragma unroll
        for (int i = 0; i < 8; i += Pack16<ELEMENT>::count) Pack16<ELEMENT>::store(total + i, sum + first + i);
        return;
    }
    for (long long i = first; i < count; i++)
        sum[i] = from_float<ELEMENT>((STORES ? 0.0f : to_float(sum[i])) + to_float(term[i]) * factor);
}
#endif
