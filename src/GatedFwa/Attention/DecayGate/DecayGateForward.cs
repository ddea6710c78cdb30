using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>
/// α [B, T, H] from the projections [2H, B·T], a chunk of positions at a time, and its prefix sums while it is in the cache.
/// </summary>
internal readonly unsafe struct DecayGateForward(
    Chunk* chunks, float* projections, float* bias, float* alpha, int batch, int positions, int heads, float epsilon, TwoLevelPrefix? prefix) : IRowKernel
{
    public void Run<V, S>(long first, long last)
        where V : struct
        where S : struct, ISimd<V>
    {
        float* decay = stackalloc float[TwoLevelPrefix.ChunkPositions];
        long rowFloats = (long)batch * positions;
        for (long i = first; i < last; i++)
        {
            Chunk chunk = chunks[i];
            long token = ((long)chunk.Batch * positions) + chunk.Start;
            for (int head = 0; head < heads; head++)
            {
                Decay<V, S>(
                    projections + (head * rowFloats) + token,
                    projections + ((heads + head) * rowFloats) + token,
                    bias[head],
                    chunk.Length,
                    decay);
                for (int t = 0; t < chunk.Length; t++) alpha[((token + t) * heads) + head] = decay[t];
                if (prefix is not null && chunk.Index >= 0)
                    prefix.Totals(head)[chunk.Index] = Sum(decay, chunk.Length, prefix.Local(chunk.Batch, head) + chunk.Start);
            }
        }
    }

    /// <summary>softplus(−βh) / (β + ε) with h = projection + bias, β = 1 + ELU(amplitude).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Decay<V, S>(float* projection, float* amplitude, float bias, int count, float* decay)
        where V : struct
        where S : struct, ISimd<V>
    {
        V biases = S.Create(bias), epsilons = S.Create(epsilon);
        for (int t = 0; t < count; t += S.Width)
        {
            int lanes = Math.Min(S.Width, count - t);
            V h = S.Add(S.Load(projection + t, lanes), biases);
            V beta = DecayGateMath<V, S>.Beta(S.Load(amplitude + t, lanes));
            V softplus = SimdMath<V, S>.Softplus(S.Negate(S.Multiply(beta, h)));
            S.Store(S.Divide(softplus, S.Add(beta, epsilons)), decay + t, lanes);
        }
    }

    /// <summary>Writes the running sums and returns the last.</summary>
    private static double Sum(float* decay, int count, double* local)
    {
        double sum = 0;
        for (int t = 0; t < count; t++) local[t] = sum += decay[t];
        return sum;
    }
}
