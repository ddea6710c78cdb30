using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>
/// y = x / (1 − p) with probability 1 − p, else 0. The mask is a function of the stream and the position: nothing is kept for the
/// backward pass.
/// </summary>
public static class Dropout
{
    /// <summary>Drops elements.</summary>
    /// <param name="tape">Owns the result and records the operation; an inference tape drops nothing.</param>
    /// <param name="x">Activations of any shape.</param>
    /// <param name="probability">The share of elements to drop, in [0, 1).</param>
    /// <param name="random">The stream of the mask.</param>
    /// <returns>The same type and shape (<paramref name="x"/> itself where nothing is dropped).</returns>
    /// <exception cref="OperandException">The probability is out of range.</exception>
    public static Tensor Apply(Tape tape, Tensor x, float probability, CounterRandom random)
    {
        Operands.RequireActivations(nameof(Dropout), x);
        if (!(probability is >= 0 and < 1)) throw new OperandException(nameof(Dropout), "a probability in [0, 1)", $"{probability}");
        if (probability == 0 || !tape.IsRecording) return x;
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        if (y.Device.IsCpu) DropoutCpu.Forward(x, probability, random, y);
        else DropoutCuda.Forward(x, probability, random, y);
        if (tape.NeedsGradient(x))
        {
            tape.Record(nameof(Dropout), y, dy =>
            {
                Tensor dx = tape.Accumulator(x, out bool storeDx)!;
                if (dx.Device.IsCpu) DropoutCpu.Backward(dy, probability, random, dx, storeDx);
                else DropoutCuda.Backward(dy, probability, random, dx, storeDx);
            });
        }

        return y;
    }
}
