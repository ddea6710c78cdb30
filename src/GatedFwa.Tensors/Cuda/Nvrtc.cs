using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Cuda;

/// <summary>The run-time compiler of CUDA C++.</summary>
internal static unsafe partial class Nvrtc
{
    private const string Library = NativeLibraries.Nvrtc;

    /// <summary>Its version, such as 13.0.</summary>
    public static (int Major, int Minor) Version
    {
        get
        {
            NativeLibraries.Require(Library);
            int major, minor;
            Check(nvrtcVersion(&major, &minor), nameof(nvrtcVersion));
            return (major, minor);
        }
    }

    /// <summary>Compiles a kernel text for one architecture.</summary>
    /// <param name="name">What messages call it.</param>
    /// <param name="source">The text.</param>
    /// <param name="headers">What it may include, by name.</param>
    /// <param name="options">Command-line options.</param>
    /// <returns>Machine code.</returns>
    /// <exception cref="CudaException">It does not compile; the message holds the compiler's.</exception>
    public static byte[] Compile(string name, string source, IReadOnlyDictionary<string, string> headers, string[] options)
    {
        NativeLibraries.Require(Library);
        string[] names = [.. headers.Keys], texts = [.. headers.Values];
        nint program;
        Check(nvrtcCreateProgram(&program, source, name, names.Length, texts, names), nameof(nvrtcCreateProgram));
        try
        {
            int code = nvrtcCompileProgram(program, options.Length, options);
            if (code != 0) throw new CudaException($"The kernel {name} does not compile with {string.Join(' ', options)}:\n{Log(program)}");
            nuint bytes;
            Check(nvrtcGetCUBINSize(program, &bytes), nameof(nvrtcGetCUBINSize));
            var image = new byte[bytes];
            fixed (byte* target = image) Check(nvrtcGetCUBIN(program, target), nameof(nvrtcGetCUBIN));
            return image;
        }
        finally
        {
            _ = nvrtcDestroyProgram(&program);
        }
    }

    private static string Log(nint program)
    {
        nuint bytes;
        if (nvrtcGetProgramLogSize(program, &bytes) != 0 || bytes <= 1) return "(no message)";
        var log = new byte[bytes];
        fixed (byte* target = log) _ = nvrtcGetProgramLog(program, target);
        return System.Text.Encoding.UTF8.GetString(log).TrimEnd('\0', '\n');
    }

    private static void Check(int code, string call)
    {
        if (code != 0) throw new CudaException($"{call} failed: {Marshal.PtrToStringUTF8((nint)nvrtcGetErrorString(code))}.");
    }

    [LibraryImport(Library)] private static partial int nvrtcVersion(int* major, int* minor);
    [LibraryImport(Library)] private static partial byte* nvrtcGetErrorString(int code);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int nvrtcCreateProgram(nint* program, string source, string name, int headerCount, string[] headers, string[] includeNames);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int nvrtcCompileProgram(nint program, int optionCount, string[] options);

    [LibraryImport(Library)] private static partial int nvrtcGetCUBINSize(nint program, nuint* bytes);
    [LibraryImport(Library)] private static partial int nvrtcGetCUBIN(nint program, byte* image);
    [LibraryImport(Library)] private static partial int nvrtcGetProgramLogSize(nint program, nuint* bytes);
    [LibraryImport(Library)] private static partial int nvrtcGetProgramLog(nint program, byte* log);
    [LibraryImport(Library)] private static partial int nvrtcDestroyProgram(nint* program);
}
