// The two-level prefix of the decay, for kernels that want a bias: sums inside chunks of 64 positions and the totals of chunks.
// A reader adds totals of the chunks between two positions only, so that position 1,000,000 is as exact as position 100.
//
// One warp a chunk and head, two positions a lane; sums in double, so that a strong decay does not blur the weak ones behind it.

constexpr int chunk_positions = 64;
constexpr float most_decay = 1e4f; // a token: beyond it nothing is left of the past in any case

// alpha [B, S, H] -> local [B, H, S], totals [B, H, chunks]
extern "C" __global__ void __launch_bounds__(256) decay_prefix(const float *alpha, float *local, float *totals, int positions, int heads)
{
    int chunks = (positions + chunk_positions - 1) / chunk_positions;
    int lane = threadIdx.x % 32, chunk = blockIdx.x, batch = blockIdx.z;
    int head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (head >= heads) return;
    int first = chunk * chunk_positions + 2 * lane;
    const float *own = alpha + ((long long)batch * positions + first) * heads + head;
    double a = first < positions ? fminf(own[0], most_decay) : 0, b = first + 1 < positions ? fminf(own[heads], most_decay) : 0;
    double sum = a + b;
    for (int step = 1; step < 32; step *= 2)
    {
        double before = __shfl_up_sync(0xffffffffu, sum, step);
        if (lane >= step) sum += before;
    }
    long long row = (long long)batch * heads + head;
    if (first < positions) local[row * positions + first] = (float)(sum - b);
    if (first + 1 < positions) local[row * positions + first + 1] = (float)sum;
    if (lane == 31) totals[row * chunks + chunk] = (float)sum;
}
