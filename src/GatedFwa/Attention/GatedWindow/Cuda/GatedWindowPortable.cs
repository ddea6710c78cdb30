using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>The kernels for the tensor cores of sm_80 and later: 16-bit types, every head size.</summary>
internal static class GatedWindowPortable
{
    private const int Threads = 128, ElementBytes = 2, Padding = 8, KeptRows = Tile.Size, DecayBytes = 8, RowTermsBytes = 16;
    private const double Log2E = Units.Log2E;

    private static readonly KernelSource ForwardSource = new(typeof(GatedWindowPortable), "portable_forward.cu");
    private static readonly KernelSource BackwardSource = new(typeof(GatedWindowPortable), "portable_backward.cu");

    /// <summary>Writes o and lse.</summary>
    public static void Forward(
        GatedWindowProblem problem, CudaSegments segments, Tensor q, Tensor k, Tensor v, CudaDecayPrefix? prefix, Tensor o, Tensor lse)
    {
        GatedWindowShape shape = problem.Shape;
        CudaDevice device = q.Cuda;
        int columns = RoundUp(shape.HeadSize, 16);
        int Bytes(int rows) => RowBytes(KeptRows, columns) + (2 * ((2 * RowBytes(rows, columns)) + (rows * DecayBytes)));
        int keyRows = Array.Find([64, 32, 16], rows => (rows < 64 || columns <= 128) && Bytes(rows) <= device.MaxSharedBytes);
        CudaKernel kernel = device.Kernel(
            ForwardSource,
            "portable_forward",
            KernelDefine.Element(q.Type),
            ("HEAD_SIZE", shape.HeadSize),
            ("COLUMNS", columns),
            ("KEY_ROWS", keyRows),
            ("HAS_GATE", prefix is not null));
        kernel.Launch(
            new LaunchShape(segments.Queries.Count, Threads, Bytes(keyRows), BlocksY: shape.Heads),
            [q, k, v, prefix?.Local, prefix?.Totals, o, lse, .. segments.Queries.Walk(problem, (float)(problem.Scale * Log2E))]);
    }

    /// <summary>Writes or adds the gradients of q, k and v, and the column sums of dS.</summary>
    public static void Backward(GatedWindowProblem problem, CudaSegments segments, CudaBackwardOperands operands)
    {
        GatedWindowShape shape = problem.Shape;
        CudaDevice device = operands.Q.Cuda;
        // A thread has registers for 128 columns of dk and dv.
        int splits = shape.HeadSize > 128 ? 2 : 1, columns = RoundUp(shape.HeadSize, 16 * splits);
        int Bytes((int Rows, int Stages) passing) =>
            (2 * RowBytes(KeptRows, columns)) + (passing.Stages * ((2 * RowBytes(passing.Rows, columns)) + (passing.Rows * RowTermsBytes)));
        (int Rows, int Stages) passing = Array.Find(
            [(64, 2), (32, 2), (32, 1), (16, 1)], choice => (choice.Item1 < 64 || columns <= 64) && Bytes(choice) <= device.MaxSharedBytes);
        CudaKernel Kernel(string function) => device.Kernel(
            BackwardSource,
            function,
            KernelDefine.Element(operands.Q.Type),
            ("HEAD_SIZE", shape.HeadSize),
            ("COLUMNS", columns),
            ("SPLITS", splits),
            ("ROWS", passing.Rows),
            ("STAGES", passing.Stages),
            ("HAS_GATE", operands.Prefix is not null));

        // Always: it corrects δ for the other one.
        CudaTiles queries = segments.Queries;
        Kernel("portable_backward_queries").Launch(
            new LaunchShape(queries.Count, Threads, Bytes(passing), BlocksY: shape.Heads),
            operands.QueriesOf(problem, queries));

        if (operands.WantsKeys)
        {
            CudaTiles tiles = segments.Keys;
            Kernel("portable_backward_keys").Launch(
                new LaunchShape(tiles.Count, Threads, Bytes(passing), BlocksY: shape.KeyHeads, BlocksZ: splits),
                operands.KeysOf(problem, tiles));
        }
    }

    private static int RoundUp(int size, int step) => (size + step - 1) / step * step;

    // Rows are padded, so that eight of them begin in different banks.
    private static int RowBytes(int rows, int columns) => rows * (columns + Padding) * ElementBytes;
}
