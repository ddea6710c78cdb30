#include "packs.cuh"

// table [rows, 2 half]: cosines, then sines, of position × frequency, `tokens` rows from each first position on. The angle is double:
// exact to float at any position.
extern "C" __global__ void __launch_bounds__(256) rotary_table(
    const double *frequencies, const long long *first_positions, float *table, int rows, int tokens, int half)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (long long)rows * half) return;
    int row = (int)(i / half), j = (int)(i % half);
    double sine, cosine;
    sincos((double)(first_positions[row / tokens] + row % tokens) * frequencies[j], &sine, &cosine);
    table[(long long)row * 2 * half + j] = (float)cosine;
    table[(long long)row * 2 * half + half + j] = (float)sine;
}

#ifdef SIZE
// (x₁, x₂) → (x₁ cos − x₂ sin, x₂ cos + x₁ sin), x₁ and x₂ the halves of a head; direction −1 turns back. x [B, T, H, SIZE]; the
// table's rows are those of the T tokens, or of all B T. A thread has PACK neighbours of both halves.
extern "C" __global__ void __launch_bounds__(256) rotary(
    const ELEMENT *x, const float *__restrict__ table, ELEMENT *y, int rows, int table_rows, int heads, float direction, int fresh)
{
    constexpr int half = SIZE / 2, threads_per_row = half / PACK;
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (long long)rows * threads_per_row) return;
    int row = (int)(i / threads_per_row), j = (int)(i % threads_per_row) * PACK, t = row / heads % table_rows;
    float cosine[PACK], sine[PACK], first[PACK], second[PACK];
    load(table + (long long)t * SIZE + j, cosine);
    load(table + (long long)t * SIZE + half + j, sine);
    load(x + (long long)row * SIZE + j, first);
    load(x + (long long)row * SIZE + half + j, second);
#pragma unroll
    for (int k = 0; k < PACK; k++)
    {
        float s = direction * sine[k], turned = first[k] * cosine[k] - second[k] * s;
        second[k] = second[k] * cosine[k] + first[k] * s;
        first[k] = turned;
    }
    store_or_add(first, y + (long long)row * SIZE + j, fresh);
    store_or_add(second, y + (long long)row * SIZE + half + j, fresh);
}
#endif
