using System.Globalization;

namespace GatedFwa.Tensors.Cuda;

/// <summary>The versions of NVIDIA's libraries, in words.</summary>
internal static unsafe class CudaVersions
{
    /// <summary>The CUDA version that the driver supports, such as 13.0.</summary>
    /// <exception cref="CudaException">There is no driver.</exception>
    public static string Driver
    {
        get
        {
            NativeLibraries.Require(NativeLibraries.Driver);
            int version;
            CudaDriver.Check(CudaDriver.cuDriverGetVersion(&version), nameof(CudaDriver.cuDriverGetVersion));
            return Words(version / 1000, version % 1000 / 10);
        }
    }

    /// <summary>The compiler's, such as 13.0.</summary>
    /// <exception cref="CudaException">There is none.</exception>
    public static string Nvrtc => Words(Cuda.Nvrtc.Version.Major, Cuda.Nvrtc.Version.Minor);

    /// <summary>That of the matrix products, such as 13.1.0.</summary>
    /// <exception cref="CudaException">The library is missing.</exception>
    public static string CublasLt
    {
        get
        {
            NativeLibraries.Require(NativeLibraries.CublasLt);
            int version = (int)Cuda.CublasLt.cublasLtGetVersion();
            return Words(version / 10_000, version % 10_000 / 100, version % 100);
        }
    }

    private static string Words(params ReadOnlySpan<int> parts)
    {
        var words = new List<string>();
        foreach (int part in parts) words.Add(part.ToString(CultureInfo.InvariantCulture));
        return string.Join('.', words);
    }
}
