using GatedFwa.Tensors;

namespace GatedFwa.Testing;

/// <summary>An input of an operation under test: an activation, in the type of the backend, or a <see cref="Parameter"/>.</summary>
/// <param name="Values">Its values, row-major.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="IsParameter">Whether it is F32 whatever the activations are.</param>
public readonly record struct Operand(float[] Values, Shape Shape, bool IsParameter)
{
    public static Operand Parameter(float[] values, Shape shape) => new(values, shape, true);

    public static implicit operator Operand((float[] Values, Shape Shape) activation) => new(activation.Values, activation.Shape, false);

    /// <summary>The tensor on a backend; the caller owns it.</summary>
    public Tensor On(TestBackend backend) => IsParameter ? backend.Parameter(Values, Shape) : backend.Activation(Values, Shape);
}
