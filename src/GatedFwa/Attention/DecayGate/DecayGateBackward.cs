using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>The gradient of the projections [2H, N] from that of α [N, H]: 64 tokens of every head at a time.</summary>
internal readonly unsafe struct DecayGateBackward(
    float* projections, float* bias, float* dalpha, float* dprojections, int heads, int tokens, float epsilon) : IRowKernel
{
    public void Run<V, S>(long first, long last)
        where V : struct
        where S : struct, ISimd<V>
    {
        float* upstream = stackalloc float[TwoLevelPrefix.ChunkPositions];
        int count = (int)(last - first);
        for (int head = 0; head < heads; head++)
        {
            for (int t = 0; t < count; t++) upstream[t] = dalpha[((first + t) * heads) + head];
            long h = ((long)head * tokens) + first, a = ((long)(heads + head) * tokens) + first;
            Differentiate<V, S>(projections + h, projections + a, bias[head], upstream, count, dprojections + h, dprojections + a);
        }
    }

    /// <summary>dh = −G β/(β+ε) σ(−βh); dβ = −G [h σ(−βh) + α] / (β+ε); β's slope is 1 above 0, e^a below.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Differentiate<V, S>(
        float* projection, float* amplitude, float bias, float* upstream, int count, float* dprojection, float* damplitude)
        where V : struct
        where S : struct, ISimd<V>
    {
        V biases = S.Create(bias), epsilons = S.Create(epsilon);
        for (int t = 0; t < count; t += S.Width)
        {
            int lanes = Math.Min(S.Width, count - t);
            V h = S.Add(S.Load(projection + t, lanes), biases), a = S.Load(amplitude + t, lanes);
            V beta = DecayGateMath<V, S>.Beta(a);
            V m = S.Negate(S.Multiply(beta, h));
            V sigmoid = SimdMath<V, S>.Sigmoid(m);
            V divisor = S.Add(beta, epsilons);
            V scaled = S.Divide(S.Negate(S.Load(upstream + t, lanes)), divisor);
            V alpha = S.Divide(SimdMath<V, S>.Softplus(m), divisor);
            S.Store(S.Multiply(S.Multiply(scaled, beta), sigmoid), dprojection + t, lanes);
            V dbeta = S.Multiply(scaled, S.MultiplyAdd(h, sigmoid, alpha));
            S.Store(S.Multiply(dbeta, DecayGateMath<V, S>.BetaSlope(a, beta)), damplitude + t, lanes);
        }
    }
}
