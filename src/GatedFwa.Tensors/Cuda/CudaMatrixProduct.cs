using System.Collections.Concurrent;
using System.Numerics;
using static GatedFwa.Tensors.Cuda.CublasLt;

namespace GatedFwa.Tensors.Cuda;

/// <summary>Matrix products through cuBLASLt, accumulated in float32. An algorithm is chosen once for each shape and kept.</summary>
internal static unsafe class CudaMatrixProduct
{
    private const long WorkspaceBytes = 32 << 20; // What NVIDIA recommends for Hopper.
    private const int BestAlignment = 256;

    private static readonly Lock Gate = new();
    private static readonly ConcurrentDictionary<int, (nint Handle, nint Workspace)> Handles = new();
    private static readonly ConcurrentDictionary<Key, Plan> Plans = new();

    /// <summary>c (+)= a · b.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="a">[M, K].</param>
    /// <param name="b">[K, N], of a's type.</param>
    /// <param name="c">[M, N], not transposed, of that type or F32.</param>
    /// <param name="accumulate">Add to what c holds.</param>
    public static void Multiply(CudaDevice device, CudaMatrix a, CudaMatrix b, CudaMatrix c, bool accumulate = false)
    {
        if (a.Type != b.Type || a.Columns != b.Rows || a.Rows != c.Rows || b.Columns != c.Columns)
            throw new OperandException("A matrix product", $"matrices that fit {a.Rows}×{a.Columns} of {a.Type}", $"{b.Rows}×{b.Columns} of {b.Type} and {c.Rows}×{c.Columns}");
        if (c.Rows == 0 || c.Columns == 0) return;
        device.Activate();
        (nint handle, nint workspace) = HandleOf(device);
        int alignment = Math.Min(AlignmentOf(a.Address), Math.Min(AlignmentOf(b.Address), AlignmentOf(c.Address)));
        var key = new Key(device.Index, a with { Address = 0 }, b with { Address = 0 }, c with { Address = 0 }, accumulate, alignment);
        Plan plan = Plans.GetOrAdd(key, _ => Choose(handle, a, b, c, alignment));
        device.Stream.Put(new Product(handle, workspace, plan, key, a.Address, b.Address, c.Address));
    }

    /// <summary>Begins to open cuBLASLt for a GPU while its memory is taken and filled.</summary>
    public static void OpenAhead(CudaDevice device) => Task.Run(() =>
    {
        try
        {
            device.Activate();
            HandleOf(device);
        }
        catch (CudaException)
        {
            // Whoever needs a product is told: opening is tried again then.
        }
    });

    /// <summary>A GPU's handle, opened once: whoever asks while <see cref="OpenAhead"/> is at it waits, and opens no second one.</summary>
    private static (nint Handle, nint Workspace) HandleOf(CudaDevice device)
    {
        if (Handles.TryGetValue(device.Index, out (nint Handle, nint Workspace) open)) return open;
        lock (Gate) return Handles.GetOrAdd(device.Index, static _ => Open());
    }

    private static (nint Handle, nint Workspace) Open()
    {
        NativeLibraries.Require(NativeLibraries.CublasLt);
        nint handle, workspace;
        Check(cublasLtCreate(&handle), nameof(cublasLtCreate));
        CudaDriver.Check(CudaDriver.cuMemAlloc(&workspace, (nuint)WorkspaceBytes), "Taking the workspace of cuBLASLt");
        return (handle, workspace);
    }

    private static Plan Choose(nint handle, CudaMatrix a, CudaMatrix b, CudaMatrix c, int alignment)
    {
        nint description, preference;
        Check(cublasLtMatmulDescCreate(&description, ComputeF32, F32), nameof(cublasLtMatmulDescCreate));
        int first = b.IsTransposed ? Transpose : Plain, second = a.IsTransposed ? Transpose : Plain;
        Check(cublasLtMatmulDescSetAttribute(description, TransposeA, &first, sizeof(int)), nameof(cublasLtMatmulDescSetAttribute));
        Check(cublasLtMatmulDescSetAttribute(description, TransposeB, &second, sizeof(int)), nameof(cublasLtMatmulDescSetAttribute));
        nint layoutA = Layout(a), layoutB = Layout(b), layoutC = Layout(c);

        Check(cublasLtMatmulPreferenceCreate(&preference), nameof(cublasLtMatmulPreferenceCreate));
        long workspace = WorkspaceBytes;
        Check(cublasLtMatmulPreferenceSetAttribute(preference, MaxWorkspaceBytes, &workspace, sizeof(long)), nameof(cublasLtMatmulPreferenceSetAttribute));
        for (int matrix = 0; matrix < 4; matrix++) // A, B, C and D.
            Check(cublasLtMatmulPreferenceSetAttribute(preference, MinAlignmentA + matrix, &alignment, sizeof(int)), nameof(cublasLtMatmulPreferenceSetAttribute));
        Heuristic found;
        int count;
        int status = cublasLtMatmulAlgoGetHeuristic(handle, description, layoutB, layoutA, layoutC, layoutC, preference, 1, &found, &count);
        _ = cublasLtMatmulPreferenceDestroy(preference);
        string product = Words(a, b);
        Check(status, $"Choosing an algorithm for the product of {product}");
        if (count == 0) throw new CudaException($"cuBLASLt has no algorithm for the product of {product}.");
        return new Plan(description, layoutA, layoutB, layoutC, found.Algorithm);
    }

    private static string Words(CudaMatrix a, CudaMatrix b) => $"{a.Rows}×{a.Columns} and {b.Rows}×{b.Columns} in {a.Type}";

    /// <summary>Rows in memory are columns to cuBLASLt.</summary>
    private static nint Layout(CudaMatrix matrix)
    {
        int type = matrix.Type switch { DType.F32 => F32, DType.F16 => F16, DType.BF16 => BF16, _ => throw new OperandException("A matrix product", "F32, BF16 or F16", $"{matrix.Type}") };
        (int inMemory, int across) = matrix.IsTransposed ? (matrix.Columns, matrix.Rows) : (matrix.Rows, matrix.Columns);
        nint layout;
        Check(cublasLtMatrixLayoutCreate(&layout, type, (ulong)across, (ulong)inMemory, matrix.Stride), nameof(cublasLtMatrixLayoutCreate));
        return layout;
    }

    private static int AlignmentOf(nint address) => Math.Min(BestAlignment, 1 << Math.Min(30, BitOperations.TrailingZeroCount(address)));

    private readonly record struct Key(int Device, CudaMatrix A, CudaMatrix B, CudaMatrix C, bool Accumulates, int Alignment);

    private sealed record Plan(nint Description, nint A, nint B, nint C, Algorithm Algorithm);

    private readonly struct Product(nint handle, nint workspace, Plan plan, Key key, nint a, nint b, nint c) : IStreamWork
    {
        public void Put(nint stream)
        {
            float alpha = 1, beta = key.Accumulates ? 1 : 0;
            Algorithm algorithm = plan.Algorithm;
            // Row-major matrices are column-major transposes: cᵀ = bᵀ aᵀ.
            int status = cublasLtMatmul(
                handle, plan.Description, &alpha, b, plan.B, a, plan.A, &beta, c, plan.C, c, plan.C, &algorithm, workspace, (nuint)WorkspaceBytes, stream);
            if (status != 0) Check(status, $"The product of {Words(key.A, key.B)}");
        }
    }
}
