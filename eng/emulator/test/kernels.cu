// Kernels of the emulator's own test; run_tests.cpp holds each to plain loops.
#include "exchange.cuh"
#include "hopper.cuh"
#include "warp.cuh"

extern "C" __global__ void __launch_bounds__(256, 2) row_sums(const float *x, float *sums, int columns)
{
    __shared__ float scratch[8];
    float sum = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += x[blockIdx.x * columns + i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

extern "C" __global__ void conversions(const float *x, unsigned short *to_bf16, unsigned short *to_f16, float *back)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    to_bf16[i] = from_float<bf16>(x[i]).bits;
    to_f16[i] = from_float<f16>(x[i]).bits;
    back[i] = to_float(f16{(unsigned short)i});
}

// c [16, 8] = a [16, 16] b [16, 8], brought in by copy_async_16, spread by ldmatrix. b is row-major: it comes transposed.
extern "C" __global__ void warp_product(const bf16 *a, const bf16 *b, float *c)
{
    __shared__ __align__(16) bf16 tile_a[16 * 16];
    __shared__ __align__(16) bf16 tile_b[16 * 16];
    int lane = threadIdx.x;
    copy_async_16(tile_a + lane * 8, a + lane * 8, true);
    copy_async_16(tile_b + lane * 8, b + lane / 2 * 8, lane % 2 == 0); // columns 8 to 15 are zeros
    copy_async_commit();
    copy_async_wait<0>();
    __syncwarp();
    unsigned x[4], y[4];
    ldmatrix_x4(x, tile_a + lane % 16 * 16 + lane / 16 * 8);
    ldmatrix_x4_transposed(y, tile_b + lane % 16 * 16 + lane / 16 * 8);
    float d[4] = {};
    mma_16x8x16<bf16>(d, x, y[0], y[1]);
    float zero[4] = {};
    mma_16x8x16<bf16>(zero, x, y[2], y[3]);
    for (int i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i] + zero[i];
}

// Stores fragments with stmatrix and reads them with ldmatrix, plain and transposed.
extern "C" __global__ void fragment_trip(unsigned *difference)
{
    __shared__ __align__(16) unsigned short tile[4][8][8];
    int lane = threadIdx.x;
    unsigned r[4], s[4], t[4];
    for (int i = 0; i < 4; i++) r[i] = (i * 64 + lane * 2) | (i * 64 + lane * 2 + 1) << 16;
    stmatrix_x4(tile[lane / 8][lane % 8], r);
    __syncwarp();
    ldmatrix_x4(s, tile[lane / 8][lane % 8]);
    for (int i = 0; i < 4; i++)
        if (s[i] != r[i] || tile[i][lane / 4][lane % 4 * 2] != i * 64 + lane * 2) *difference = 1;
    __syncwarp();
    stmatrix_x4_transposed(tile[lane / 8][lane % 8], r);
    __syncwarp();
    ldmatrix_x4_transposed(t, tile[lane / 8][lane % 8]);
    for (int i = 0; i < 4; i++)
        if (t[i] != r[i] || tile[i][lane % 4 * 2][lane / 4] != i * 64 + lane * 2) *difference = 2;
}

// c [64, 128] = a b, K = 64, through the copy engine and a warpgroup.
template <int transposed_a, int transposed_b>
__device__ void warpgroup_product(const TensorMap *a, const TensorMap *b, const TensorMap *c, unsigned char *memory, bool a_in_registers)
{
    constexpr int N = 128;
    unsigned char *tile_a = memory, *tile_b = memory + 8192;
    auto *full = reinterpret_cast<Barrier *>(memory + 8192 + 16384);
    if (threadIdx.x == 0)
    {
        barrier_init(full, 1);
        barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x == 0)
    {
        barrier_arrive_expect(full, 8192 + 16384);
        copy_tile(tile_a, a, full, 0, 0, 0, 0);
        if (transposed_b)
            for (int panel = 0; panel < 2; panel++) copy_tile(tile_b + panel * 8192, b, full, panel * 64, 0, 0, 0);
        else
            for (int half = 0; half < 2; half++) copy_tile(tile_b + half * 8192, b, full, 0, half * 64, 0, 0);
    }
    barrier_wait(full, 0);
    float d[N / 2];
    product_fence();
    for (int k = 0; k < 4; k++)
    {
        auto y = transposed_b ? operand(tile_b + k * 2048, 8192) : operand(tile_b + k * 32);
        if (a_in_registers)
        {
            unsigned x[4];
            int row = threadIdx.x / 32 * 16 + threadIdx.x % 16;
            ldmatrix_x4(x, tile_a + swizzle_128(row * 128 + k * 32 + threadIdx.x % 32 / 16 * 16));
            product_registers<bf16, N, transposed_b>(d, x, y, k > 0);
        }
        else
            product<bf16, N, transposed_a, transposed_b>(d, operand(tile_a + k * (transposed_a ? 2048 : 32)), y, k > 0);
    }
    product_commit();
    product_wait<0>();
    settle(d);
    __syncthreads();
    for (int i = 0; i < N / 2; i += 2)
    {
        int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + threadIdx.x % 4 * 2;
        *reinterpret_cast<unsigned *>(tile_b + column / 64 * 8192 + swizzle_128(row * 128 + column % 64 * 2)) = pack2<bf16>(d[i], d[i + 1]);
    }
    fence_shared_async();
    __syncthreads();
    if (threadIdx.x == 0)
    {
        for (int panel = 0; panel < 2; panel++) store_tile(c, tile_b + panel * 8192, panel * 64, 0, 0, 0);
        bulk_commit();
        bulk_wait<0>();
    }
}

extern "C" __global__ void __launch_bounds__(128) hopper_product(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                                                                const __grid_constant__ TensorMap c, int transposed_a, int transposed_b)
{
    DYNAMIC_SHARED(memory);
    if (transposed_a < 0 && transposed_b) return warpgroup_product<0, 1>(&a, &b, &c, memory, true);
    if (transposed_a < 0) return warpgroup_product<0, 0>(&a, &b, &c, memory, true);
    if (transposed_a && transposed_b) return warpgroup_product<1, 1>(&a, &b, &c, memory, false);
    if (transposed_a) return warpgroup_product<1, 0>(&a, &b, &c, memory, false);
    if (transposed_b) return warpgroup_product<0, 1>(&a, &b, &c, memory, false);
    warpgroup_product<0, 0>(&a, &b, &c, memory, false);
}

// A warp brings parts of x in, two stages ahead at most; four warps add each part to their sums.
extern "C" __global__ void pipeline(const float *x, float *sums, int parts)
{
    constexpr int stages = 2, part = 128;
    DYNAMIC_SHARED(memory);
    auto *tiles = reinterpret_cast<float(*)[part]>(memory);
    __shared__ Barrier full[stages], empty[stages];
    if (threadIdx.x == 0)
        for (int s = 0; s < stages; s++)
        {
            barrier_init(&full[s], 1);
            barrier_init(&empty[s], 4);
        }
    __syncthreads();
    if (threadIdx.x >= 128)
    {
        if (threadIdx.x > 128) return;
        for (int i = 0; i < parts; i++)
        {
            barrier_wait(&empty[i % stages], (i / stages + 1) % 2);
            barrier_arrive_expect(&full[i % stages], part * sizeof(float));
            copy_bytes(tiles[i % stages], x + i * part, part * sizeof(float), &full[i % stages]);
        }
        return;
    }
    float sum = 0;
    for (int i = 0; i < parts; i++)
    {
        barrier_wait(&full[i % stages], i / stages % 2);
        sum += tiles[i % stages][threadIdx.x];
        __syncwarp();
        if (threadIdx.x % 32 == 0) barrier_arrive(&empty[i % stages]);
    }
    group_sync(1, 128);
    tiles[0][threadIdx.x] = sum;
    fence_shared_async();
    group_sync(1, 128);
    if (threadIdx.x == 0)
    {
        add_bytes(sums, tiles[0], part * sizeof(float));
        bulk_commit();
        bulk_wait<0>();
    }
}

// ---- Blocks that wait for one another ----

extern "C" __global__ void empty() {}

constexpr int chain_threads = 64;

// What a block of the chain gets from the next one, the last from the first one's round before: 0 before the first round.
__device__ void take(const uint2 *slots, int round, float *values)
{
    int next = (blockIdx.x + 1) % gridDim.x;
    unsigned tag = next == 0 ? round : round + 1;
    if (threadIdx.x < chain_threads / 2)
    {
        uint2 pair = make_uint2(0, 0);
        if (tag > 0) pair = await_pair(reinterpret_cast<const uint4 *>(slots + next * chain_threads) + threadIdx.x, tag);
        values[2 * threadIdx.x] = __uint_as_float(pair.x);
        values[2 * threadIdx.x + 1] = __uint_as_float(pair.y);
    }
    __syncthreads();
}

// In each round every block adds the round's weights to what the next block gives it, the last one first. Weights come through the copy
// engine. At the end each block adds up the first value of all, four blocks at a time.
extern "C" __global__ void __launch_bounds__(chain_threads) chain(uint2 *slots, const float *weights, float *sums, int rounds)
{
    __shared__ float values[chain_threads];
    __shared__ Barrier full;
    DYNAMIC_SHARED(memory);
    auto *stage = reinterpret_cast<float *>(memory);
    if (threadIdx.x == 0) barrier_init(&full, 1);
    __syncthreads();
    for (int round = 0; round < rounds; round++)
    {
        if (threadIdx.x == 0)
        {
            barrier_arrive_expect(&full, chain_threads * sizeof(float));
            copy_bytes(stage, weights + round * chain_threads, chain_threads * sizeof(float), &full);
        }
        take(slots, round, values);
        barrier_wait(&full, round % 2);
        float value = values[threadIdx.x] + stage[threadIdx.x];
        if (round % 2 == 0)
            publish(slots + blockIdx.x * chain_threads + threadIdx.x, __float_as_uint(value), round + 1);
        else
        {
            values[threadIdx.x] = value;
            __syncthreads();
            if (threadIdx.x < chain_threads / 2)
                publish2(reinterpret_cast<uint4 *>(slots + blockIdx.x * chain_threads) + threadIdx.x, __float_as_uint(values[2 * threadIdx.x]),
                         __float_as_uint(values[2 * threadIdx.x + 1]), round + 1);
        }
        __syncthreads();
    }
    float sum = 0;
    for (int first = 0; first < gridDim.x; first += 4)
    {
        const uint4 *sources[4];
        uint2 pairs[4];
        for (int i = 0; i < 4; i++) sources[i] = reinterpret_cast<const uint4 *>(slots + min(first + i, (int)gridDim.x - 1) * chain_threads);
        await_pairs(sources, rounds, pairs);
        for (int i = 0; i < 4 && first + i < gridDim.x; i++) sum += __uint_as_float(pairs[i].x);
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Block 0 reads a stage before it waits for its copy, though all other blocks have come and gone meanwhile.
extern "C" __global__ void early_stage(uint2 *slots, const float *weights, float *read)
{
    __shared__ Barrier full;
    __shared__ __align__(16) float stage[32];
    if (blockIdx.x > 0)
    {
        publish(slots + 2 * (blockIdx.x - 1), 0, 1);
        publish(slots + 2 * (blockIdx.x - 1) + 1, 0, 1);
        return;
    }
    barrier_init(&full, 1);
    barrier_arrive_expect(&full, sizeof stage);
    copy_bytes(stage, weights, sizeof stage, &full);
    for (int i = 0; i < gridDim.x - 1; i++) await_pair(reinterpret_cast<const uint4 *>(slots) + i, 1);
    read[0] = stage[31];
    barrier_wait(&full, 0);
    read[1] = stage[31];
}

// ---- What must be refused ----

// Nobody publishes what blocks 0 and 1 poll for; block 2 has returned.
extern "C" __global__ void vain_polls(float *x)
{
    if (blockIdx.x == 2) return;
    if (threadIdx.x == 5) await_pair(reinterpret_cast<const uint4 *>(x), 7);
    __syncthreads();
}

extern "C" __global__ void deadlock(float *x)
{
    if (threadIdx.x < 32) x[threadIdx.x] = warp_sum(x[threadIdx.x]);
    if (threadIdx.x != 40) __syncthreads();
    if (threadIdx.x == 40) __syncwarp();
}

extern "C" __global__ void lost_bytes(float *)
{
    __shared__ Barrier barrier;
    if (threadIdx.x == 0) barrier_init(&barrier, 1);
    __syncthreads();
    if (threadIdx.x == 0) barrier_arrive_expect(&barrier, 16);
    barrier_wait(&barrier, 0);
}

extern "C" __global__ void wild_write(float *x) { x[1 << 28] = 1; }
extern "C" __global__ void misaligned(float *x) { x[0] = reinterpret_cast<float4 *>(x + 1)->y; }
extern "C" __global__ void overrun(float *x) { x[100 + threadIdx.x % 28] = 1; }
extern "C" __global__ void shared_overrun(float *)
{
    DYNAMIC_SHARED(memory);
    memory[1024 + threadIdx.x] = 1;
}

// Reads the accumulator of a product that it does not wait for.
extern "C" __global__ void early_read(float *x)
{
    DYNAMIC_SHARED(memory);
    for (int i = threadIdx.x; i < 16384 / 4; i += 128) reinterpret_cast<float *>(memory)[i] = 0;
    __syncthreads();
    float d[32];
    product<bf16, 64, 0, 0>(d, operand(memory), operand(memory + 8192), false);
    product_commit();
    x[threadIdx.x] = d[0];
    product_wait<0>();
    x[128 + threadIdx.x] = d[0];
}
