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
    /// <summary>Positions of a chunk, counted from the start of a row of the batch.</summary>
    public const int Chunk = 64;

    private const int TileHeads = 16, Threads = 256, Floats = 2;

    private static readonly KernelSource Source = new(typeof(CudaDecayPrefix), "decay_prefix.cu");

    private CudaDecayPrefix(CudaStorage local, CudaStorage totals) => (Local, Totals) = (local, totals);

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
        if (IsWhatIsRead(ready, segments))
        {
            ready.Local.Storage.Retain();
            ready.Totals.Storage.Retain();
            return new((CudaStorage)ready.Local.Storage, (CudaStorage)ready.Totals.Storage);
        }

        CudaMemory memory = alpha.Cuda.Memory;
        int chunks = RowLaunch.Quotient(alpha.Shape[1], Chunk);
        CudaStorage local = memory.Rent(Floats * alpha.Count * sizeof(float));
        CudaStorage totals = memory.Rent((long)Floats * alpha.Shape[0] * alpha.Shape[2] * chunks * sizeof(float));
        Sum(alpha, segments, activations, local, totals);
        return new(local, totals);
    }

    /// <summary>The same for both passes: what is summed up now goes with the tape.</summary>
    public static DecayGatePrefix? On(Tape tape, Tensor? alpha, DecayGatePrefix? ready, CudaSegments segments, DType activations)
    {
        if (alpha is null || IsWhatIsRead(ready, segments)) return ready;
        DecayGatePrefix prefix = DecayGatePrefix.On(tape, alpha.Shape[0], alpha.Shape[1], alpha.Shape[2], alpha.Device);
        Sum(alpha, segments, activations, (CudaStorage)prefix.Local.Storage, (CudaStorage)prefix.Totals.Storage);
        return prefix with { KnowsSegments = true };
    }

    private static bool IsWhatIsRead([NotNullWhen(true)] DecayGatePrefix? ready, CudaSegments segments) =>
        ready is not null && (ready.KnowsSegments || segments.Starts is null);

    private static void Sum(Tensor alpha, CudaSegments segments, DType activations, CudaStorage local, CudaStorage totals)
    {
        (int batch, int positions, int heads) = (alpha.Shape[0], alpha.Shape[1], alpha.Shape[2]);
        KernelDefine lanes = ("LANES", heads % 4 == 0 ? 4 : 1), hasSegments = ("HAS_SEGMENTS", segments.Starts is not null);
        alpha.Cuda.Kernel(Source, "decay_prefix", Most(activations), lanes, hasSegments).Launch(
            new LaunchShape(RowLaunch.Quotient(positions, Chunk), Threads, BlocksY: RowLaunch.Quotient(heads, TileHeads), BlocksZ: batch),
            alpha,
            local,
            totals,
            segments.Starts,
            positions,
            heads);
    }

    public void Dispose()
    {
        Local.Dispose();
        Totals.Dispose();
    }
}
