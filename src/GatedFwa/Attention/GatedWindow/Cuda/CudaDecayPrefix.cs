using GatedFwa.Tensors;
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

    /// <summary>What the gate has summed up already, where it has and rows are one segment each; else sums the decay up.</summary>
    public static CudaDecayPrefix? Of(Tensor? alpha, DecayGatePrefix? ready, CudaSegments segments, DType activations)
    {
        if (alpha is null) return null;
        if (ready is null || segments.Starts is not null) return Of(alpha, segments, activations);
        ready.Local.Storage.Retain();
        ready.Totals.Storage.Retain();
        return new((CudaStorage)ready.Local.Storage, (CudaStorage)ready.Totals.Storage);
    }

    /// <summary>Sums the decay up.</summary>
    /// <param name="alpha">F32 [B, S, H].</param>
    /// <param name="segments">Where sums start anew.</param>
    /// <param name="activations">The type of queries and keys.</param>
    public static CudaDecayPrefix Of(Tensor alpha, CudaSegments segments, DType activations)
    {
        CudaDevice device = alpha.Cuda;
        (int batch, int positions, int heads) = (alpha.Shape[0], alpha.Shape[1], alpha.Shape[2]);
        int chunks = RowLaunch.Quotient(positions, Chunk);
        CudaStorage local = device.Memory.Rent(Floats * alpha.Count * sizeof(float));
        CudaStorage totals = device.Memory.Rent((long)Floats * batch * heads * chunks * sizeof(float));
        bool hasSegments = segments.Starts is not null;
        device.Kernel(Source, "decay_prefix", Most(activations), ("LANES", heads % 4 == 0 ? 4 : 1), ("HAS_SEGMENTS", hasSegments)).Launch(
            new LaunchShape(chunks, Threads, BlocksY: RowLaunch.Quotient(heads, TileHeads), BlocksZ: batch),
            alpha,
            local,
            totals,
            segments.Starts,
            positions,
            heads);
        return new(local, totals);
    }

    public void Dispose()
    {
        Local.Dispose();
        Totals.Dispose();
    }
}
