using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Cuda;

/// <summary>cuBLASLt, as far as it is used: plain matrix products.</summary>
internal static unsafe partial class CublasLt
{
    // cublasComputeType_t, cudaDataType_t, cublasOperation_t
    public const int ComputeF32 = 68, F32 = 0, F16 = 2, BF16 = 14, Plain = 0, Transpose = 1;

    // cublasLtMatmulDescAttributes_t, cublasLtMatmulPreferenceAttributes_t
    public const int TransposeA = 3, TransposeB = 4, MaxWorkspaceBytes = 1, MinAlignmentA = 5;

    private const string Library = NativeLibraries.CublasLt;

    /// <summary>Throws unless a call succeeded.</summary>
    public static void Check(int status, string call)
    {
        if (status != 0) throw new CudaException($"{call} failed: {Marshal.PtrToStringUTF8((nint)cublasLtGetStatusString(status))}.");
    }

    [LibraryImport(Library)] public static partial nuint cublasLtGetVersion();
    [LibraryImport(Library)] public static partial byte* cublasLtGetStatusString(int status);
    [LibraryImport(Library)] public static partial int cublasLtCreate(nint* handle);
    [LibraryImport(Library)] public static partial int cublasLtMatmulDescCreate(nint* description, int computeType, int scaleType);
    [LibraryImport(Library)] public static partial int cublasLtMatmulDescSetAttribute(nint description, int attribute, void* value, nuint bytes);
    [LibraryImport(Library)] public static partial int cublasLtMatrixLayoutCreate(nint* layout, int type, ulong rows, ulong columns, long stride);
    [LibraryImport(Library)] public static partial int cublasLtMatmulPreferenceCreate(nint* preference);
    [LibraryImport(Library)] public static partial int cublasLtMatmulPreferenceSetAttribute(nint preference, int attribute, void* value, nuint bytes);
    [LibraryImport(Library)] public static partial int cublasLtMatmulPreferenceDestroy(nint preference);

    [LibraryImport(Library)]
    public static partial int cublasLtMatmulAlgoGetHeuristic(
        nint handle, nint description, nint a, nint b, nint c, nint d, nint preference, int requested, Heuristic* results, int* found);

    [LibraryImport(Library)]
    public static partial int cublasLtMatmul(
        nint handle, nint description, void* alpha, nint a, nint aLayout, nint b, nint bLayout, void* beta, nint c, nint cLayout, nint d, nint dLayout, Algorithm* algorithm, nint workspace, nuint workspaceBytes, nint stream);

    /// <summary>cublasLtMatmulAlgo_t: opaque.</summary>
    public struct Algorithm
    {
        public fixed ulong Data[8];
    }

    /// <summary>cublasLtMatmulHeuristicResult_t.</summary>
    public struct Heuristic
    {
        public Algorithm Algorithm;
        public nuint WorkspaceBytes;
        public int State;
        public float Waves;
        public fixed int Reserved[4];
    }
}
