using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>
/// Native sparse attention (arXiv 2502.11089) with gated window attention as its sliding branch: each query attends to the means of
/// all complete blocks, to the tokens of the few blocks that those means recommend, and to its window; gates weigh the three
/// (docs/operator.md, "Native sparse attention").
/// </summary>
/// <remarks>The work of a query is (complete blocks + n·ℓ + W), never the whole text.</remarks>
public static class NativeSparseAttention
{
    /// <summary>Attends from the last T of S positions.</summary>
    /// <param name="tape">Owns the result and records the operations.</param>
    /// <param name="q">Activations [B, T, H, D]: F32, and on a GPU BF16 or F16, too.</param>
    /// <param name="k">Of q's type, [B, S, Hkv, D], S ≥ T, H a multiple of Hkv.</param>
    /// <param name="v">Of q's type, [B, S, Hkv, D].</param>
    /// <param name="alpha">F32 [B, S, H]: the decay of each token, which acts in the window branch only; or none.</param>
    /// <param name="gates">The weight of each branch.</param>
    /// <param name="options">Window, blocks, scale and layout.</param>
    /// <param name="blockIndices">I32 [B, Hkv, T, n], n at most the blocks of the longest document: receives, when given, the blocks
    /// that each query chose, counted from its document's start, ascending, −1 where there are no more. No gradient flows through the
    /// choice.</param>
    /// <returns>Of q's type, [B, T, H, D]; 0 in padding.</returns>
    /// <exception cref="OperandException">The shapes do not match, D is not a multiple of 8 in 8 … 256, or the window, the block size
    /// or the block count is below 1.</exception>
    public static Tensor Apply(
        Tape tape,
        Tensor q,
        Tensor k,
        Tensor v,
        Tensor? alpha,
        BranchGates gates,
        NativeSparseOptions options,
        Tensor? blockIndices = null) => Apply(tape, q, k, v, alpha, prefix: null, gates, options, blockIndices);

    /// <summary>The same with the prefix that <see cref="DecayGate"/> made along with α; it lives as long as the tape.</summary>
    internal static Tensor Apply(
        Tape tape,
        Tensor q,
        Tensor k,
        Tensor v,
        Tensor? alpha,
        DecayGatePrefix? prefix,
        BranchGates gates,
        NativeSparseOptions options,
        Tensor? blockIndices = null)
    {
        NativeSparseProblem problem = NativeSparseProblem.Check(q, k, v, alpha, gates, blockIndices, options);
        return tape.Scoped(() =>
        {
            Tensor pooledK = BlockPooling.Apply(tape, problem, k), pooledV = BlockPooling.Apply(tape, problem, v);
            (Tensor compressed, Tensor selected) = LookBack(tape, problem, q, k, v, pooledK, pooledV, blockIndices);
            Tensor window = GatedWindowAttention.Apply(tape, q, k, v, alpha, prefix, NativeSparseProblem.WindowOptions(options));
            return BranchMix.Apply(tape, gates, compressed, selected, window);
        });
    }

    /// <summary>The same where texts are continued, for inference: whatever is kept of them is read where it lies.</summary>
    /// <param name="tape">Owns the result.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">Of q's type, [B, T, Hkv, D]: of the queries' own tokens.</param>
    /// <param name="v">Of q's type, [B, T, Hkv, D].</param>
    /// <param name="history">What came before, of q's type; afterwards it holds k and v, too.</param>
    /// <param name="gates">The weight of each branch.</param>
    /// <param name="window">Makes the result of the window branch, [B, T, H, D]: it has a memory of its own.</param>
    /// <returns>Of q's type, [B, T, H, D].</returns>
    internal static Tensor Continue(
        Tape tape, Tensor q, Tensor k, Tensor v, SparseHistory history, BranchGates gates, Func<Tensor> window)
    {
        NativeSparseProblem problem = history.Append(k, v);
        return tape.Scoped(() =>
        {
            (Tensor compressed, Tensor selected) = LookBack(
                tape, problem, q, history.Keys, history.Values, history.PooledKeys, history.PooledValues, blockIndices: null);
            return BranchMix.Apply(tape, gates, compressed, selected, window());
        });
    }

    /// <summary>The two branches that see beyond the window.</summary>
    private static (Tensor Compressed, Tensor Selected) LookBack(
        Tape tape, NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor pooledK, Tensor pooledV, Tensor? blockIndices)
    {
        Tensor compressed = CompressedAttention.Apply(tape, problem, q, pooledK, pooledV, out Tensor lse);
        Tensor indices = BlockSelection.Apply(tape, problem, q, pooledK, lse);
        blockIndices?.CopyFrom(indices);
        return (compressed, SelectedAttention.Apply(tape, problem, q, k, v, indices));
    }
}
