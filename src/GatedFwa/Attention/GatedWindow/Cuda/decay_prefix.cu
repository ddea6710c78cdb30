// The two-level prefix of the decay, for kernels that want a bias: sums inside chunks of 64 positions and the totals of chunks.
// A reader adds totals of the chunks between two positions only, so that position 1,000,000 is as exact as position 100.
//
// One warp a chunk and head, two positions a lane; sums in double, so that a strong decay does not blur the weak ones behind it,
// and where `lows` is set a second float keeps what the first rounds off: it lies a whole array behind. Where segments are given,
// sums start anew at each: the differences that a reader forms lie inside one, and a NaN stays in its document.

constexpr int chunk_positions = 64;
// A token's decay in a sum: more cuts the past off as well as infinity does, and would blur what follows it (DecayGatePrefix.MostDecay).
constexpr double most_decay = MOST_DECAY;

struct Sum
{
    double value;
    int restarts;
};

__device__ __forceinline__ Sum operator+(Sum before, Sum next)
{
    return {next.restarts ? next.value : before.value + next.value, before.restarts | next.restarts};
}

__device__ __forceinline__ Sum decay_of(const float *alpha, const int *segment_start, int position, int positions)
{
    if (position >= positions) return {0, 0};
    double decay = *alpha;
    return {decay > most_decay ? most_decay : decay, segment_start && segment_start[position] >= position};
}

__device__ __forceinline__ void write(float *high, long long low, bool lows, double sum)
{
    *high = (float)sum;
    if (lows) high[low] = (float)(sum - (float)sum);
}

// alpha [B, S, H] -> local [1 or 2, B, H, S], totals [1 or 2, B, H, chunks]
extern "C" __global__ void __launch_bounds__(256) decay_prefix(
    const float *alpha, float *local, float *totals, const int *segment_start, int lows, int positions, int heads)
{
    int chunks = (positions + chunk_positions - 1) / chunk_positions;
    int lane = threadIdx.x % 32, chunk = blockIdx.x, batch = blockIdx.z;
    int head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (head >= heads) return;
    int first = chunk * chunk_positions + 2 * lane;
    const float *own = alpha + ((long long)batch * positions + first) * heads + head;
    const int *start = segment_start ? segment_start + (long long)batch * positions : nullptr;
    Sum a = decay_of(own, start, first, positions), b = decay_of(own + heads, start, first + 1, positions);
    Sum pair = a + b, sum = pair;
    for (int step = 1; step < 32; step *= 2)
    {
        Sum before = {__shfl_up_sync(0xffffffffu, sum.value, step), __shfl_up_sync(0xffffffffu, sum.restarts, step)};
        if (lane >= step) sum = before + sum;
    }
    Sum before = {__shfl_up_sync(0xffffffffu, sum.value, 1), __shfl_up_sync(0xffffffffu, sum.restarts, 1)};
    if (lane == 0) before = {0, 0};
    long long row = (long long)batch * heads + head, rows = (long long)gridDim.z * heads;
    if (first < positions) write(local + row * positions + first, rows * positions, lows, (before + a).value);
    if (first + 1 < positions) write(local + row * positions + first + 1, rows * positions, lows, sum.value);
    if (lane == 31) write(totals + row * chunks + chunk, rows * chunks, lows, sum.value);
}
