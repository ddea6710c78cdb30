using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace GatedFwa.Attention;

/// <summary>
/// One matrix product gives both projections of all heads, [2H, N] with N = B·T: a row is one head's h (then one head's
/// amplitude) along the tokens, so that vectors are full for any number of heads. One kernel then reads each of them once.
/// </summary>
internal static unsafe class DecayGateCpu
{
    /// <summary>projections = [gateWeight; amplitudeWeight] · xᵀ, without the bias.</summary>
    public static void Project(Tensor x, Tensor gateWeight, Tensor amplitudeWeight, Tensor projections)
    {
        using CpuStorage weights = Stack(gateWeight, amplitudeWeight);
        int width = gateWeight.Shape[1], rows = projections.Shape[0], tokens = projections.Shape[1];
        MatrixProduct.Multiply(
            StridedMatrix.RowMajor(weights.Floats, rows, width),
            StridedMatrix.RowMajor(x.Floats, tokens, width).Transposed,
            projections.Floats,
            tokens);
    }

    /// <summary>ELU, softplus, division and, where asked for, the prefix sums.</summary>
    public static void Forward(Tensor projections, Tensor gateBias, float epsilon, Tensor alpha, TwoLevelPrefix? prefix)
    {
        Chunk[] chunks = Chunk.Cut(alpha.Shape[0], alpha.Shape[1], prefix);
        float* z = projections.Floats, bias = gateBias.Floats, result = alpha.Floats;
        (int batch, int positions, int heads) = (alpha.Shape[0], alpha.Shape[1], alpha.Shape[2]);
        fixed (Chunk* first = chunks)
            RowKernel.Run(new DecayGateForward(first, z, bias, result, batch, positions, heads, epsilon, prefix), chunks.Length, 1);
    }

    /// <summary>Adds to the gradients that are wanted.</summary>
    public static void Backward(
        Tensor x,
        Tensor gateWeight,
        Tensor gateBias,
        Tensor amplitudeWeight,
        Tensor projections,
        float epsilon,
        Tensor dalpha,
        DecayGateGradients gradients)
    {
        int heads = gateWeight.Shape[0], width = gateWeight.Shape[1], tokens = projections.Shape[1];
        using CpuStorage dprojections = CpuMemory.Rent(2L * heads * tokens);
        float* dz = dprojections.Floats;
        RowKernel.Run(
            new DecayGateBackward(projections.Floats, gateBias.Floats, dalpha.Floats, dz, heads, tokens, epsilon),
            tokens,
            TwoLevelPrefix.ChunkPositions);

        var upstream = StridedMatrix.RowMajor(dz, 2 * heads, tokens);
        if (gradients.X is { } dx)
        {
            using CpuStorage weights = Stack(gateWeight, amplitudeWeight);
            MatrixProduct.Multiply(
                upstream.Transposed, StridedMatrix.RowMajor(weights.Floats, 2 * heads, width), dx.Floats, width, accumulate: true);
        }

        if (gradients.GateBias is { } dbias) AddRowSums(dz, heads, tokens, dbias.Floats);
        if (gradients.GateWeight is null && gradients.AmplitudeWeight is null) return;
        using CpuStorage dweights = CpuMemory.Rent(2L * heads * width);
        MatrixProduct.Multiply(upstream, StridedMatrix.RowMajor(x.Floats, tokens, width), dweights.Floats, width);
        AddTo(gradients.GateWeight, dweights.Floats);
        AddTo(gradients.AmplitudeWeight, dweights.Floats + ((long)heads * width));
    }

    private static CpuStorage Stack(Tensor gateWeight, Tensor amplitudeWeight)
    {
        CpuStorage weights = CpuMemory.Rent(2 * gateWeight.Count);
        gateWeight.AsSpan().CopyTo(new Span<float>(weights.Floats, (int)gateWeight.Count));
        amplitudeWeight.AsSpan().CopyTo(new Span<float>(weights.Floats + gateWeight.Count, (int)gateWeight.Count));
        return weights;
    }

    private static void AddRowSums(float* rows, int count, int columns, float* sums) =>
        WorkerPool.Shared.For(count, row =>
        {
            double sum = 0;
            float* values = rows + ((long)row * columns);
            for (int i = 0; i < columns; i++) sum += values[i];
            sums[row] += (float)sum;
        });

    private static void AddTo(Tensor? sum, float* term)
    {
        if (sum is null) return;
        Span<float> target = sum.AsSpan();
        TensorPrimitives.Add(target, new ReadOnlySpan<float>(term, target.Length), target);
    }
}

/// <summary>Where the gate's gradients go; null where none is needed.</summary>
internal readonly record struct DecayGateGradients(Tensor? X, Tensor? GateWeight, Tensor? GateBias, Tensor? AmplitudeWeight);
