using System.Diagnostics.CodeAnalysis;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>
/// The two-level prefix of the decay on a GPU: sums inside chunks of 64 positions and the totals of chunks, each number as two
/// floats, the second of which lies a whole array behind the first.
/// </summary>
internal sealed class CudaDecayPrefix : IDisposable
{
    // Of a block of decay_chunk.cuh.
    private const int TileHeads = 16, Threads = 256;

    private static readonly KernelSource Source = new(typeof(CudaDecayPrefix), "decay_prefix.cu");

    private CudaDecayPrefix(DecayGatePrefix prefix)
    {
        (Local, Totals) = ((CudaStorage)prefix.Local.Storage, (CudaStorage)prefix.Totals.Storage);
        Local.Retain();
        Totals.Retain();
    }

    /// <summary>F32 [2, B, H, S].</summary>
    public CudaStorage Local { get; }

    /// <summary>F32 [2, B, H, chunks].</summary>
    public CudaStorage Totals { get; }

    /// <summary>MOST_DECAY, for kernels that sum decays up.</summary>
    /// <param name="activations">The type of queries and keys.</param>
    public static KernelDefine Most(DType activations) => ("MOST_DECAY", (int)DecayGatePrefix.MostDecay(activations));

    /// <summary>What has been summed up already, where that is what attention reads; else sums the decay up.</summary>
    /// <param name="alpha">F32 [B, S, H], or none.</param>
    /// <param name="ready">What there is.</param>
    /// <param name="segments">Where sums start anew.</param>
    /// <param name="activations">The type of queries and keys.</param>
    public static CudaDecayPrefix? Of(Tensor? alpha, DecayGatePrefix? ready, CudaSegments segments, DType activations)
    {
        if (alpha is null) return null;
        if (IsWhatIsRead(ready, segments)) return new(ready);
        using var own = DecayGatePrefix.Empty(alpha.Shape[0], alpha.Shape[1], alpha.Shape[2], alpha.Device);
        Sum(alpha, segments, activations, own);
        return new(own);
    }

    /// <summary>The same for both passes: what is summed up now goes with the tape.</summary>
    /// <param name="tape">Keeps it for the backward pass.</param>
    /// <param name="alpha">F32 [B, S, H], or none.</param>
    /// <param name="ready">What there is.</param>
    /// <param name="segments">Where sums start anew.</param>
    /// <param name="activations">The type of queries and keys.</param>
    public static DecayGatePrefix? On(Tape tape, Tensor? alpha, DecayGatePrefix? ready, CudaSegments segments, DType activations)
    {
        if (alpha is null || IsWhatIsRead(ready, segments)) return ready;
        DecayGatePrefix prefix = DecayGatePrefix.On(tape, alpha.Shape[0], alpha.Shape[1], alpha.Shape[2], alpha.Device);
        Sum(alpha, segments, activations, prefix);
        return prefix with { KnowsSegments = true };
    }

    /// <summary>How kernels on <c>decay_chunk.cuh</c> are launched: a block has a chunk of some heads.</summary>
    public static LaunchShape Blocks(int positions, int heads, int batch = 1, bool overlaps = false) => new(
        RowLaunch.Quotient(positions, TwoLevelPrefix.ChunkPositions),
        Threads,
        BlocksY: RowLaunch.Quotient(heads, TileHeads),
        BlocksZ: batch,
        Overlaps: overlaps);

    private static bool IsWhatIsRead([NotNullWhen(true)] DecayGatePrefix? ready, CudaSegments segments) =>
        ready is not null && (ready.KnowsSegments || segments.Starts is null);

    private static void Sum(Tensor alpha, CudaSegments segments, DType activations, DecayGatePrefix prefix)
    {
        (int batch, int positions, int heads) = (alpha.Shape[0], alpha.Shape[1], alpha.Shape[2]);
        KernelDefine lanes = ("LANES", heads % 4 == 0 ? 4 : 1), hasSegments = ("HAS_SEGMENTS", segments.Starts is not null);
        alpha.Cuda.Kernel(Source, "decay_prefix", Most(activations), lanes, hasSegments).Launch(
            Blocks(positions, heads, batch, overlaps: true), alpha, prefix.Local, prefix.Totals, segments.Starts, positions, heads);
    }

    public void Dispose()
    {
        Local.Dispose();
        Totals.Dispose();
    }
}
