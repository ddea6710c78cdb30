using System.CommandLine;
using GatedFwa.Tensors;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>The flags that say where a run trains this time.</summary>
internal sealed class PlaceOptions
{
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<string?> _type = SharedOptions.Activations();

    /// <summary>Adds the flags to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[_threads, _device, _type]) command.Options.Add(option);
    }

    /// <summary>The place; from here on this process computes with as many threads as it says.</summary>
    /// <exception cref="InputException">There is no such device, or it does not compute in that type.</exception>
    public TrainingPlace Use(ParseResult result)
    {
        Device device = SharedOptions.ParseDevice(result.GetValue(_device)!);
        var place = new TrainingPlace(device, SharedOptions.ParseType(result.GetValue(_type), device));
        SharedOptions.UseThreads(result.GetValue(_threads));
        return place;
    }
}
