using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Testing;

/// <summary>The result of an operation and the gradients of its inputs, on the host: what a test compares.</summary>
public sealed record Differentiated(float[] Y, float[][] Gradients)
{
    /// <summary>Runs an operation forwards and backwards on a tape of its own, on the CPU.</summary>
    /// <param name="dy">The gradient of the result.</param>
    /// <param name="apply">The operation, given the tape and the inputs as tensors that are watched.</param>
    /// <param name="inputs">Values and shape of each input.</param>
    public static Differentiated Run(float[] dy, Func<Tape, Tensor[], Tensor> apply, params Operand[] inputs) =>
        Run(TestBackend.Cpu, dy, apply, inputs);

    /// <summary>Runs an operation forwards and backwards on a tape of its own.</summary>
    /// <param name="backend">Where, and in which type. A reference must be given inputs and <paramref name="dy"/> as
    /// <see cref="TestBackend.Round"/> gives them.</param>
    /// <param name="dy">The gradient of the result, in whose type it is handed in.</param>
    /// <param name="apply">The operation, given the tape and the inputs as tensors that are watched.</param>
    /// <param name="inputs">Values and shape of each input; parameters say that they are.</param>
    public static Differentiated Run(TestBackend backend, float[] dy, Func<Tape, Tensor[], Tensor> apply, params Operand[] inputs)
    {
        using var tape = new Tape();
        Tensor[] tensors = [.. inputs.Select(input => tape.Watch(tape.Own(input.On(backend))))];
        Tensor y = apply(tape, tensors);
        float[] result = y.ToArray();
        tape.Backward(y, tape.Own(Tensor.From(dy, y.Shape, y.Device, y.Type)));
        return new(result, [.. tensors.Select(tensor => tape.Gradient(tensor)!.ToArray())]);
    }
}
