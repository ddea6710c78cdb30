namespace GatedFwa.Attention;

/// <summary>Inputs of one native sparse attention in double, or their gradients.</summary>
/// <param name="Q">[B, T, H, D].</param>
/// <param name="K">[B, S, Hkv, D].</param>
/// <param name="V">[B, S, Hkv, D].</param>
/// <param name="Alpha">[B, S, H], or none.</param>
/// <param name="Compressed">[B, T, H]: the gate of that branch, and so the next two.</param>
/// <param name="Selected">[B, T, H].</param>
/// <param name="Window">[B, T, H].</param>
internal sealed record NativeSparseInputs(
    double[] Q, double[] K, double[] V, double[]? Alpha, double[] Compressed, double[] Selected, double[] Window)
{
    /// <summary>The three gates.</summary>
    public double[][] Gates => [Compressed, Selected, Window];
}

/// <summary>
/// docs/operator.md, "Native sparse attention", in double, from the references of its pieces: the contract of
/// <see cref="NativeSparseAttention"/>.
/// </summary>
internal static class NativeSparseReference
{
    /// <summary>o [B, T, H, D] and the chosen blocks [B, Hkv, T, n].</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="options">Window, blocks, scale and layout.</param>
    /// <param name="indices">The choice, where it is given: a finite difference must not cross from one to another.</param>
    public static (double[] O, int[] Indices) Forward(
        NativeSparseInputs inputs, GatedWindowShape shape, NativeSparseOptions options, int[]? indices = null)
    {
        NativeSparseProblem problem = NativeSparseProblem.Check(shape, options);
        (double[][] branches, int[] chosen) = Branches(problem, inputs, options, indices);
        return (BranchMixReference.Forward(inputs.Gates, branches, shape.HeadSize), chosen);
    }

    /// <summary>The gradients of all inputs, given that of o and the choice.</summary>
    public static NativeSparseInputs Backward(
        NativeSparseInputs inputs, int[] indices, double[] dO, GatedWindowShape shape, NativeSparseOptions options)
    {
        NativeSparseProblem problem = NativeSparseProblem.Check(shape, options);
        (double[][] branches, _) = Branches(problem, inputs, options, indices);
        (double[][] dGates, double[][] dBranches) = BranchMixReference.Backward(inputs.Gates, branches, dO, shape.HeadSize);

        double[] pooledK = BlockPoolingReference.Forward(problem, inputs.K), pooledV = BlockPoolingReference.Forward(problem, inputs.V);
        var compressed = CompressedAttentionReference.Backward(problem, inputs.Q, pooledK, pooledV, dBranches[0]);
        var selected = SelectedAttentionReference.Backward(problem, inputs.Q, inputs.K, inputs.V, indices, dBranches[1]);
        var window = GatedWindowReference.Backward(
            inputs.Q, inputs.K, inputs.V, inputs.Alpha, dBranches[2], shape, NativeSparseProblem.WindowOptions(options));
        return new(
            Sum(compressed.Dq, selected.Dq, window.Dq),
            Sum(BlockPoolingReference.Backward(problem, compressed.DpooledK), selected.Dk, window.Dk),
            Sum(BlockPoolingReference.Backward(problem, compressed.DpooledV), selected.Dv, window.Dv),
            window.Dalpha,
            dGates[0],
            dGates[1],
            dGates[2]);
    }

    private static (double[][] Branches, int[] Indices) Branches(
        NativeSparseProblem problem, NativeSparseInputs inputs, NativeSparseOptions options, int[]? indices)
    {
        double[] pooledK = BlockPoolingReference.Forward(problem, inputs.K), pooledV = BlockPoolingReference.Forward(problem, inputs.V);
        (double[] compressed, double[] lse) = CompressedAttentionReference.Forward(problem, inputs.Q, pooledK, pooledV);
        indices ??= BlockSelectionReference.Select(problem, inputs.Q, pooledK, lse);
        (double[] selected, _) = SelectedAttentionReference.Forward(problem, inputs.Q, inputs.K, inputs.V, indices);
        (double[] window, _) = GatedWindowReference.Forward(
            inputs.Q, inputs.K, inputs.V, inputs.Alpha, problem.Shape, NativeSparseProblem.WindowOptions(options));
        return ([compressed, selected, window], indices);
    }

    private static double[] Sum(double[] a, double[] b, double[] c) => [.. a.Select((x, i) => x + b[i] + c[i])];
}
