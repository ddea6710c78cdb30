namespace GatedFwa.Tensors;

/// <summary>A tensor that is learned: owns its value and, once one is asked for, its gradient.</summary>
public sealed class Parameter : IDisposable
{
    /// <summary>Takes ownership of a value.</summary>
    /// <param name="name">The name it has in a checkpoint, such as <c>layers.0.attention.query.weight</c>.</param>
    /// <param name="value">The value; disposed with the parameter.</param>
    /// <param name="decays">Whether weight decay applies (matrices) or not (norms, biases, gates).</param>
    public Parameter(string name, Tensor value, bool decays = true)
    {
        Name = name;
        Value = value;
        Decays = decays;
        value.BecomeParameter();
    }

    /// <summary>The name it has in a checkpoint.</summary>
    public string Name { get; }

    /// <summary>The value.</summary>
    public Tensor Value { get; }

    /// <summary>Whether weight decay applies.</summary>
    public bool Decays { get; }

    /// <summary>The gradient: zeros at first; backward passes add to it until <see cref="ClearGradient"/>.</summary>
    public Tensor Gradient => Value.ParameterGradient();

    /// <summary>Sets the gradient to zero.</summary>
    public void ClearGradient() => Value.ClearGradient();

    /// <inheritdoc/>
    public void Dispose()
    {
        Value.Gradient?.Dispose();
        Value.Gradient = null;
        Value.Dispose();
    }

    /// <summary>A parameter stands for its value wherever an operation takes a tensor.</summary>
    /// <param name="parameter">The parameter.</param>
    public static implicit operator Tensor(Parameter parameter) => parameter.Value;

    /// <inheritdoc/>
    public override string ToString() => $"{Name}: {Value}";
}
