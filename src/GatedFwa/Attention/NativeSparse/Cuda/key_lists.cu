// For each block of keys the queries that chose it: the choices are numbered by block, sorted elsewhere, and cut here.
#include "sparse_documents.cuh"

constexpr int threads = 1024;

// chosen [B, Hkv, T, choices] -> the number of each choice's list; `lists` for none
extern "C" __global__ void __launch_bounds__(256) list_numbers(
    const int *chosen, const int4 *documents, int *numbers, long long count, int lists, int blocks_per_head,
    int tokens, int positions, int key_heads, int block_size, int choices)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int block = chosen[i], token = (int)(i / choices % tokens), row = (int)(i / choices / tokens);
    Document document(documents, row / key_heads, positions - tokens + token, positions, block_size);
    numbers[i] = block < 0 ? lists : row % key_heads * blocks_per_head + document.first_block + block;
}

// sorted [count] → starts [lists + 1]: where each list begins, and where the last ends
extern "C" __global__ void __launch_bounds__(256) list_starts(const int *sorted, int *starts, int count, int lists)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i > count) return;
    int from = i == 0 ? -1 : sorted[i - 1], to = i == count ? lists : sorted[i];
    for (int list = from + 1; list <= to; list++) starts[list] = i;
}

// starts → pieces, slots [lists + 1]: a list is cut into pieces of `piece` entries, at least one; a slot for each of more than one.
// One block.
extern "C" __global__ void __launch_bounds__(threads) list_pieces(const int *starts, int *pieces, int *slots, int lists, int piece)
{
    __shared__ int sums[2][2][threads];
    auto pieces_of = [&](int list) { return max(1, (starts[list + 1] - starts[list] + piece - 1) / piece); };
    int share = (lists + threads - 1) / threads, begin = threadIdx.x * share, end = min(begin + share, lists);
    int sum[2] = {0, 0};
    for (int list = begin; list < end; list++)
    {
        int count = pieces_of(list);
        sum[0] += count;
        sum[1] += count > 1 ? count : 0;
    }
    int from = 0;
    for (int i = 0; i < 2; i++) sums[0][i][threadIdx.x] = sum[i];
    __syncthreads();
    for (int step = 1; step < threads; step *= 2)
    {
        for (int i = 0; i < 2; i++)
            sums[1 - from][i][threadIdx.x] = sums[from][i][threadIdx.x] + ((int)threadIdx.x >= step ? sums[from][i][threadIdx.x - step] : 0);
        from = 1 - from;
        __syncthreads();
    }
    for (int i = 0; i < 2; i++) sum[i] = sums[from][i][threadIdx.x] - sum[i];
    for (int list = begin; list < end; list++)
    {
        pieces[list] = sum[0], slots[list] = sum[1];
        int count = pieces_of(list);
        sum[0] += count;
        sum[1] += count > 1 ? count : 0;
    }
    if (end == lists && begin < end) pieces[lists] = sum[0], slots[lists] = sum[1];
}
