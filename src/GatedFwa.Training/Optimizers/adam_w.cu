// All parameters of a model in one launch each: the norm of their gradients, AdamW.
#include "elements.cuh"
#include "warp.cuh"

// As the host lays it out (ParameterTable.Entry).
struct Entry
{
    float *value, *gradient, *mean, *square;
    void *copy; // The value in the activations' type, or null.
    long long count;
    int first_block, decays;
};

// What the host reads of a step (StepVerdict), and what adam_w asks before it changes anything.
struct Verdict
{
    double loss, norm;
    float gradient_scale;
    int is_taken;
};

constexpr int block_elements = 4096, threads = 256, max_warps = 32;
constexpr int packs = block_elements / (4 * threads); // Of a thread.

// The tensor that a block works on: the last whose first block is not behind it.
__device__ __forceinline__ const Entry &find(const Entry *table, int entries)
{
    int low = 0, high = entries - 1;
    while (low < high)
    {
        int middle = (low + high + 1) / 2;
        if (table[middle].first_block <= (int)blockIdx.x) low = middle;
        else high = middle - 1;
    }
    return table[low];
}

// sums[block] = the sum of the squares of its elements.
extern "C" __global__ void __launch_bounds__(256) gradient_squares(const Entry *table, int entries, double *sums)
{
    __shared__ double scratch[max_warps];
    const Entry &entry = find(table, entries);
    long long first = (long long)(blockIdx.x - entry.first_block) * block_elements, last = min(entry.count, first + block_elements);
    // All loads before the first use: what a thread waits for is memory.
    float g[packs][4];
#pragma unroll
    for (int pack = 0; pack < packs; pack++)
    {
        const long long i = first + 4 * (threadIdx.x + pack * threads);
        if (i + 4 <= last)
        {
            Pack16<float>::load(entry.gradient + i, g[pack]);
            continue;
        }
#pragma unroll
        for (int j = 0; j < 4; j++) g[pack][j] = i + j < last ? entry.gradient[i + j] : 0;
    }
    double sum = 0;
#pragma unroll
    for (int pack = 0; pack < packs; pack++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum += (double)g[pack][j] * g[pack][j];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// losses[part] = loss.
extern "C" __global__ void keep_loss(const float *loss, float *losses, int part) { losses[part] = *loss; }

__device__ __forceinline__ bool is_number(double x) { return x - x == 0; }

// Whether a step may be taken, and with what scale. One block. Gradients are those of the loss times 1 / unscale.
extern "C" __global__ void __launch_bounds__(1024)
judge(const double *sums, int blocks, const float *losses, int parts, float clip_norm, float unscale, Verdict *verdict)
{
    __shared__ double scratch[max_warps];
    double squares = 0, loss = 0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) squares += sums[i];
    for (int i = threadIdx.x; i < parts; i += blockDim.x) loss += losses[i];
    squares = block_sum(squares, scratch);
    loss = block_sum(loss, scratch);
    if (threadIdx.x != 0) return;
    const double norm = sqrt(squares) * unscale;
    loss = parts == 0 ? 0 : loss / parts;
    verdict->loss = loss;
    verdict->norm = norm;
    verdict->gradient_scale = clip_norm > 0 && norm > clip_norm ? (float)(clip_norm / norm * unscale) : unscale;
    verdict->is_taken = is_number(loss) && is_number(norm);
}

struct Constants
{
    float mean_decay, square_decay, step_size, root_correction, epsilon, keep;
};

__device__ __forceinline__ void update(const Constants &c, float g, float &p, float &m, float &v)
{
    m = c.mean_decay * m + (1 - c.mean_decay) * g;
    v = c.square_decay * v + (1 - c.square_decay) * (g * g);
    p = c.keep * p - c.step_size * m / (sqrtf(v) * c.root_correction + c.epsilon);
}

#ifdef COPY
__device__ __forceinline__ void store4(const float *p, COPY *copy)
{
    if constexpr (sizeof(COPY) == 2)
        *reinterpret_cast<uint2 *>(copy) = make_uint2(pack2<COPY>(p[0], p[1]), pack2<COPY>(p[2], p[3]));
}

// `keep` is 1 − learning rate · λ, for parameters that decay.
extern "C" __global__ void __launch_bounds__(256)
adam_w(const Entry *table, int entries, const Verdict *verdict, float gradient_scale, float mean_decay, float square_decay, float keep,
       float step_size, float root_correction, float epsilon)
{
    if (verdict != nullptr)
    {
        if (!verdict->is_taken) return;
        gradient_scale = verdict->gradient_scale;
    }
    const Entry &entry = find(table, entries);
    const Constants c = {mean_decay, square_decay, step_size, root_correction, epsilon, entry.decays ? keep : 1.0f};
    COPY *copy = reinterpret_cast<COPY *>(entry.copy);
    long long first = (long long)(blockIdx.x - entry.first_block) * block_elements, last = min(entry.count, first + block_elements);
    for (long long i = first + 4 * threadIdx.x; i < last; i += 4 * threads)
    {
        if (i + 4 <= last)
        {
            float g[4], p[4], m[4], v[4];
            Pack16<float>::load(entry.gradient + i, g);
            Pack16<float>::load(entry.value + i, p);
            Pack16<float>::load(entry.mean + i, m);
            Pack16<float>::load(entry.square + i, v);
#pragma unroll
            for (int j = 0; j < 4; j++) update(c, g[j] * gradient_scale, p[j], m[j], v[j]);
            Pack16<float>::store(p, entry.value + i);
            Pack16<float>::store(m, entry.mean + i);
            Pack16<float>::store(v, entry.square + i);
            if (copy != nullptr) store4(p, copy + i);
            continue;
        }
        for (long long j = i; j < last; j++)
        {
            update(c, entry.gradient[j] * gradient_scale, entry.value[j], entry.mean[j], entry.square[j]);
            if (copy != nullptr) copy[j] = from_float<COPY>(entry.value[j]);
        }
    }
}
#endif
