using System.CommandLine;
using System.Globalization;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Cli.Commands;

/// <summary>Options that several commands share. Each command makes its own, so that help shows it where it matters.</summary>
internal static class SharedOptions
{
    private const string CudaPrefix = "cuda:";

    public static Option<int?> Threads() =>
        Count("--threads", "How many threads compute; results do not depend on it.", $"all {Environment.ProcessorCount}");

    public static Option<string> Device() => new("--device")
    {
        Description = "Where to compute: cpu, or an NVIDIA GPU as cuda or cuda:N.",
        HelpName = "cpu|cuda[:N]",
        DefaultValueFactory = _ => "cpu",
    };

    public static Option<string?> Activations() => Types(new Option<string?>("--dtype")
    {
        Description = "The type of activations; weights are float32 in any case. [default: f32 on the CPU, bf16 on a GPU]",
        HelpName = "f32|bf16|f16",
    });

    /// <summary>Refuses what is no type of activations as a mistake of the command line.</summary>
    public static Option<string?> Types(Option<string?> option) => option.AcceptOnlyFromAmong("f32", "bf16", "f16");

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of a table." };

    /// <summary>A whole number that is left to its default unless given; one that is too small is a mistake of the command line.</summary>
    /// <param name="name">The option's name.</param>
    /// <param name="description">What is counted.</param>
    /// <param name="usual">What it is unless given, in words.</param>
    /// <param name="least">The least that makes sense.</param>
    public static Option<int?> Count(string name, string description, string usual, int least = 1)
    {
        var option = new Option<int?>(name) { Description = $"{description} [default: {usual}]", HelpName = "N" };
        option.Validators.Add(result =>
        {
            // What is not a number at all has an error of its own already.
            if (result.Tokens.Count != 1 || !int.TryParse(result.Tokens[0].Value, CultureInfo.InvariantCulture, out int value)) return;
            if (value < least) result.AddError($"{name} must be at least {least}, but is {value}.");
        });
        return option;
    }

    /// <summary>Sets the number of threads for the rest of the process.</summary>
    public static void UseThreads(int? threads) => WorkerPool.Shared.Threads = threads ?? Environment.ProcessorCount;

    /// <summary>The device of that name; never another one instead.</summary>
    /// <exception cref="InputException">It does not exist here.</exception>
    public static Device ParseDevice(string name)
    {
        if (name.Equals("cpu", StringComparison.OrdinalIgnoreCase)) return Tensors.Device.Cpu;
        int index = 0;
        bool isCuda = name.Equals("cuda", StringComparison.OrdinalIgnoreCase) ||
            (name.StartsWith(CudaPrefix, StringComparison.OrdinalIgnoreCase) &&
                int.TryParse(name.AsSpan(CudaPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out index));
        if (!isCuda) throw new InputException($"--device {name}: there is no such device; use cpu, cuda or cuda:N.");
        try
        {
            CudaDevice.Get(index);
            // Both are needed sooner or later: better to hear of it before a model is read.
            NativeLibraries.Require(NativeLibraries.Nvrtc);
            NativeLibraries.Require(NativeLibraries.CublasLt);
            return new Device(DeviceKind.Cuda, index);
        }
        catch (CudaException exception)
        {
            throw new InputException($"--device {name}: {exception.Message}", exception);
        }
    }

    /// <summary>The type of that name, as <see cref="Types"/> takes it; none where none was given.</summary>
    public static DType? ParseType(string? name) => name switch
    {
        "f32" => DType.F32,
        "bf16" => DType.BF16,
        "f16" => DType.F16,
        _ => null,
    };

    /// <summary>The same for a device that must compute in it.</summary>
    /// <exception cref="InputException">It does not.</exception>
    public static DType? ParseType(string? name, Device device)
    {
        DType? type = ParseType(name);
        if (device.IsCpu && type is not (null or DType.F32))
        {
            throw new InputException(
                $"--dtype {name}: the CPU computes in f32 alone; leave --dtype out, or name a GPU with --device cuda.");
        }

        return type;
    }
}
