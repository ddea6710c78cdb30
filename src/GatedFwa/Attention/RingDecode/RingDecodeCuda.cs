using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>
/// Reads a ring once. The window is split over blocks until the GPU is full; each leaves a softmax of its own part, and a second
/// kernel joins them in order.
/// </summary>
internal static class RingDecodeCuda
{
    private const int Threads = 128;
    private const int TileKeys = 32;
    private const int TilesPerBlock = Threads / 32; // At least: a warp has a tile.

    /// <summary>Query heads of a group that share one reading of their keys; more do not fit the registers.</summary>
    private const int MostHeads = 4;

    /// <summary>What the joining kernel takes.</summary>
    private const int MostSplits = Threads;

    /// <summary>Blocks that keep a multiprocessor's memory requests coming.</summary>
    private const int BlocksPerMultiprocessor = 4;

    /// <summary>Decay, highest score and sum of weights of a part.</summary>
    private const int StretchBytes = 16;

    // The kernel can read a cursor a row from the GPU; a ring has one for all.
    private const long OneCursor = 0;

    private static readonly KernelSource Source = new(typeof(RingDecodeCuda), "ring_decode.cu");

    public static void Forward(Tensor q, KeyValueRing ring, float scale, Tensor o)
    {
        CudaDevice device = q.Cuda;
        int batch = q.Shape[0], heads = q.Shape[2], size = q.Shape[3], keyHeads = ring.Keys.Heads, group = heads / keyHeads;
        int slices = (group + MostHeads - 1) / MostHeads, sliceHeads = (group + slices - 1) / slices;
        int splits = Splits(device, ring.Count, batch * keyHeads * slices);
        ReadOnlySpan<KernelDefine> defines =
            [KernelDefine.Element(q.Type), ("HEAD_SIZE", size), ("HEADS", sliceHeads), ("GATED", ring.Alpha is not null)];
        CudaKernel decode = device.Kernel(Source, "ring_decode", defines);
        var shape = new LaunchShape(splits, Threads, BlocksY: slices, BlocksZ: batch * keyHeads);
        float scaleLog2 = scale * (float)Units.Log2E;
        if (splits == 1)
        {
            Launch(null, null);
            return;
        }

        long parts = (long)batch * heads * splits;
        using CudaStorage partial = device.Memory.Rent(parts * size * sizeof(float));
        using CudaStorage stretches = device.Memory.Rent(parts * StretchBytes);
        Launch(partial, stretches);
        device.Kernel(Source, "ring_combine", defines).Launch(new LaunchShape(batch * heads, Threads), partial, stretches, o, splits);

        void Launch(CudaStorage? partial, CudaStorage? stretches) => decode.Launch(
            shape,
            q,
            ring.Keys.Slots,
            ring.Values.Slots,
            ring.Alpha?.Slots,
            OneCursor,
            ring.Next,
            ring.Count,
            ring.Keys.Capacity,
            group,
            keyHeads,
            scaleLog2,
            o,
            partial,
            stretches);
    }

    private static int Splits(CudaDevice device, int count, int blocks)
    {
        int tiles = (count + TileKeys - 1) / TileKeys, most = Math.Min(MostSplits, (tiles + TilesPerBlock - 1) / TilesPerBlock);
        return Math.Clamp(BlocksPerMultiprocessor * device.Multiprocessors / blocks, 1, most);
    }
}
