using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = silu(gate) ∘ value (Shazeer 2020).</summary>
public static class SwiGlu
{
    /// <summary>Gates a value.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="gate">Activations of any shape.</param>
    /// <param name="value">The type and shape of <paramref name="gate"/>.</param>
    /// <returns>The same type and shape.</returns>
    /// <exception cref="OperandException">The shapes or types differ.</exception>
    public static Tensor Apply(Tape tape, Tensor gate, Tensor value)
    {
        Operands.RequireActivations(nameof(SwiGlu), gate, value);
        if (gate.Shape != value.Shape)
            throw new OperandException(nameof(SwiGlu), $"a value of the gate's shape, {gate.Shape}", $"{value.Shape}");
        Tensor y = tape.Allocate(gate.Shape, gate.Type, gate.Device);
        if (y.Device.IsCpu) SwiGluCpu.Forward(gate, value, y);
        else SwiGluCuda.Forward(gate, value, y);
        if (tape.NeedsGradient(gate, value))
        {
            tape.Record(nameof(SwiGlu), y, dy =>
            {
                Tensor? dgate = tape.Accumulator(gate, out bool storeDgate);
                Tensor? dvalue = tape.Accumulator(value, out bool storeDvalue);
                if (dy.Device.IsCpu) SwiGluCpu.Backward(gate, value, dy, dgate, storeDgate, dvalue, storeDvalue);
                else SwiGluCuda.Backward(gate, value, dy, dgate, storeDgate, dvalue, storeDvalue);
            });
        }

        return y;
    }
}
