using GatedFwa.Tensors;

namespace GatedFwa.Models;

/// <summary>Parameters by name, seen from one place of the model: <c>set.In("layers.0")["attention.query.weight"]</c>.</summary>
internal sealed class ParameterSet
{
    private readonly IReadOnlyDictionary<string, Parameter> _byName;
    private readonly string _prefix;

    public ParameterSet(IEnumerable<Parameter> parameters)
        : this(parameters.ToDictionary(parameter => parameter.Name), "")
    {
    }

    private ParameterSet(IReadOnlyDictionary<string, Parameter> byName, string prefix) => (_byName, _prefix) = (byName, prefix);

    public Parameter this[string name] => _byName[_prefix + name];

    public ParameterSet In(string place) => new(_byName, $"{_prefix}{place}.");
}
