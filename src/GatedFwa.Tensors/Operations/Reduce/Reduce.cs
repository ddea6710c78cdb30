using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>Sums and means of all elements, accumulated in double.</summary>
public static class Reduce
{
    /// <summary>The sum of all elements.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32, any shape.</param>
    /// <returns>F32 scalar, shape [].</returns>
    public static Tensor Sum(Tape tape, Tensor x) => throw new NotImplementedException();

    /// <summary>The mean of all elements.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32, any shape with at least one element.</param>
    /// <returns>F32 scalar, shape [].</returns>
    /// <exception cref="OperandException">There is no element.</exception>
    public static Tensor Mean(Tape tape, Tensor x) => throw new NotImplementedException();
}
