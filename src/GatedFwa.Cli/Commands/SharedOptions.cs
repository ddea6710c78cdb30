using System.CommandLine;
using System.Globalization;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands;

/// <summary>Options that several commands share. Each command makes its own, so that help shows it where it matters.</summary>
internal static class SharedOptions
{
    public static Option<int?> Threads() => Positive(new Option<int?>("--threads")
    {
        Description = $"How many threads compute; results do not depend on it. [default: all {Environment.ProcessorCount}]",
        HelpName = "N",
    });

    public static Option<string> Device() => new("--device")
    {
        Description = "Where to compute: cpu.",
        HelpName = "cpu",
        DefaultValueFactory = _ => "cpu",
    };

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of a table." };

    /// <summary>Refuses values below 1 as a mistake of the command line.</summary>
    public static Option<int?> Positive(Option<int?> option) => AtLeast(option, 1);

    /// <summary>Refuses values below a bound as a mistake of the command line.</summary>
    public static Option<int?> AtLeast(Option<int?> option, int least)
    {
        option.Validators.Add(result =>
        {
            // What is not a number at all has an error of its own already.
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, CultureInfo.InvariantCulture, out int value) && value < least)
                result.AddError($"{option.Name} must be at least {least}, but is {value}.");
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
        if (name.StartsWith("cuda", StringComparison.OrdinalIgnoreCase))
            throw new InputException($"--device {name}: this build has no CUDA kernels; leave --device out to compute on the CPU.");
        throw new InputException($"--device {name}: there is no such device; this build knows cpu.");
    }
}
