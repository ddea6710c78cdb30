using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>The kernels for float32: right on every GPU and for every head size, not fast.</summary>
internal static class GatedWindowFloat32
{
    private const int Lanes = 8;

    private static readonly KernelSource Source = new(typeof(GatedWindowFloat32), "float32_attention.cu");

    /// <summary>Writes o and lse.</summary>
    public static void Forward(
        GatedWindowProblem problem, CudaSegments segments, Tensor q, Tensor k, Tensor v, CudaDecayPrefix? prefix, Tensor o, Tensor lse)
    {
        GatedWindowShape shape = problem.Shape;
        // Queries and keys (or values), weights, decay.
        int Bytes(int rows) => (rows * sizeof(double)) + (((2 * rows * (shape.HeadSize + 1)) + (rows * (rows + 1))) * sizeof(float));
        (CudaKernel kernel, LaunchShape launch) = Kernel("float32_forward", q.Cuda, shape, prefix, Bytes, segments.Queries, shape.Heads);
        kernel.Launch(launch, [q, k, v, prefix?.Local, prefix?.Totals, o, lse, .. segments.Queries.Walk(problem, problem.Scale)]);
    }

    /// <summary>Writes or adds the gradients of q, k and v, and the sums of dS.</summary>
    public static void Backward(GatedWindowProblem problem, CudaSegments segments, CudaBackwardOperands operands)
    {
        GatedWindowShape shape = problem.Shape;
        // Two tiles kept and two that go past, weights and their gradients, decay, lse and δ.
        int Bytes(int rows) =>
            (rows * sizeof(double)) + (((4 * rows * (shape.HeadSize + 1)) + (2 * rows * (rows + 1)) + (2 * rows)) * sizeof(float));
        if (operands.WantsKeys)
        {
            CudaTiles tiles = segments.Keys;
            (CudaKernel kernel, LaunchShape launch) =
                Kernel("float32_backward_keys", operands.Q.Cuda, shape, operands.Prefix, Bytes, tiles, shape.KeyHeads);
            kernel.Launch(launch, operands.KeysOf(problem, tiles));
        }

        if (operands.WantsQueries)
        {
            CudaTiles tiles = segments.Queries;
            (CudaKernel kernel, LaunchShape launch) =
                Kernel("float32_backward_queries", operands.Q.Cuda, shape, operands.Prefix, Bytes, tiles, shape.Heads);
            kernel.Launch(launch, operands.QueriesOf(problem, tiles, operands.RowSums));
        }
    }

    // Fewer rows a block where shared memory is small.
    private static (CudaKernel Kernel, LaunchShape Launch) Kernel(
        string function, CudaDevice device, GatedWindowShape shape, CudaDecayPrefix? prefix, Func<int, int> bytes, CudaTiles tiles, int heads)
    {
        int rows = bytes(32) <= device.MaxSharedBytes ? 32 : 16;
        CudaKernel kernel = device.Kernel(Source, function, ("HEAD_SIZE", shape.HeadSize), ("ROWS", rows), ("HAS_GATE", prefix is not null));
        return (kernel, new LaunchShape(tiles.Count * (Tile.Size / rows), Lanes * rows, bytes(rows), BlocksY: heads));
    }
}
