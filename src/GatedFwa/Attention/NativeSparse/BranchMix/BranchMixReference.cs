namespace GatedFwa.Attention;

/// <summary>o = Σ g ∘ o_branch in double: the contract of <see cref="BranchMix"/>.</summary>
internal static class BranchMixReference
{
    /// <summary>o [rows, D].</summary>
    /// <param name="gates">Three of [rows].</param>
    /// <param name="branches">Three of [rows, D].</param>
    /// <param name="size">D.</param>
    public static double[] Forward(double[][] gates, double[][] branches, int size) =>
        [.. Enumerable.Range(0, branches[0].Length).Select(i => gates.Zip(branches, (gate, branch) => gate[i / size] * branch[i]).Sum())];

    /// <summary>The gradients of the gates and of the branches, given that of o.</summary>
    public static (double[][] Dgates, double[][] Dbranches) Backward(double[][] gates, double[][] branches, double[] dO, int size) => (
        [.. branches.Select(branch => dO.Zip(branch, (up, value) => up * value).Chunk(size).Select(row => row.Sum()).ToArray())],
        [.. gates.Select(gate => dO.Select((gradient, i) => gate[i / size] * gradient).ToArray())]);
}
