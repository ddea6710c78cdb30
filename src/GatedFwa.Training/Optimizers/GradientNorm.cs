using System.Numerics;
using System.Runtime.InteropServices;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Training.Optimizers;

/// <summary>The Euclidean norm of all gradients together, and what clipping to it means.</summary>
public static unsafe class GradientNorm
{
    private const int ChunkFloats = 16 * 1024;

    /// <summary>√Σ g² over all parameters, summed in double in a fixed order. Not finite where any gradient is not.</summary>
    /// <param name="parameters">The parameters.</param>
    public static double Of(IReadOnlyList<Parameter> parameters)
    {
        if (parameters.Count > 0 && !parameters[0].Value.Device.IsCpu) return OnGpu(parameters);
        double sum = 0;
        foreach (Parameter parameter in parameters) sum += SumOfSquares(parameter.Gradient);
        return Math.Sqrt(sum);
    }

    /// <summary>What gradients must be multiplied with so that their norm is at most <paramref name="limit"/>.</summary>
    /// <param name="norm">Their norm.</param>
    /// <param name="limit">The largest norm; 0 means no limit.</param>
    public static float ClipScale(double norm, double limit) => limit > 0 && norm > limit ? (float)(limit / norm) : 1;

    private static double OnGpu(IReadOnlyList<Parameter> parameters)
    {
        using var table = new ParameterTable(parameters);
        using CudaStorage verdict = table.Device.Memory.Rent(AdamWCuda.VerdictBytes);
        AdamWCuda.Judge(table, losses: null, clipNorm: 0, unscale: 1, verdict);
        var answer = new byte[AdamWCuda.VerdictBytes];
        verdict.CopyToHost(answer, 0);
        return MemoryMarshal.Read<StepVerdict>(answer).Norm;
    }

    private static double SumOfSquares(Tensor gradient)
    {
        float* g = gradient.Floats;
        long count = gradient.Count;
        var sums = new double[(count + ChunkFloats - 1) / ChunkFloats];
        WorkerPool.Shared.For(sums.Length, chunk =>
        {
            long start = (long)chunk * ChunkFloats;
            sums[chunk] = SumOfSquares(new ReadOnlySpan<float>(g + start, (int)Math.Min(ChunkFloats, count - start)));
        });
        double sum = 0;
        foreach (double part in sums) sum += part;
        return sum;
    }

    private static double SumOfSquares(ReadOnlySpan<float> values)
    {
        Vector<double> low = default, high = default;
        int i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Widen(new Vector<float>(values[i..]), out Vector<double> first, out Vector<double> second);
            low += first * first;
            high += second * second;
        }

        double sum = Vector.Sum(low + high);
        for (; i < values.Length; i++) sum += (double)values[i] * values[i];
        return sum;
    }
}
