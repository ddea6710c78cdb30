using System.Globalization;
using GatedFwa.Checkpoints;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Collects an operator's results on the host, so that they outlive the tape.</summary>
internal sealed class OperatorOutputs(string kind)
{
    private readonly List<SafetensorsTensor> _tensors = [];
    private readonly Dictionary<string, string> _metadata = new() { ["kind"] = kind };

    public void Add(string name, Tensor tensor) => Add(name, tensor.Shape, tensor.ToArray());

    public void Add(string name, Shape shape, float[] values) => _tensors.Add(SafetensorsTensor.Floats(name, shape, values));

    public void Add(string name, Shape shape, int[] values) => _tensors.Add(SafetensorsTensor.Integers(name, shape, values));

    /// <summary>Adds the gradients of inputs under their names with a d before.</summary>
    public void AddGradients(Tape tape, params ReadOnlySpan<(string Name, Tensor? Input)> inputs)
    {
        foreach ((string name, Tensor? input) in inputs)
        {
            if (input is not null && tape.Gradient(input) is { } gradient) Add("d" + name, gradient);
        }
    }

    public void Note(string key, IFormattable? setting)
    {
        if (setting is not null) _metadata[key] = setting.ToString(null, CultureInfo.InvariantCulture);
    }

    public OperatorResult Result() => new(kind, _tensors, _metadata);
}
