namespace GatedFwa.Tensors.Operations;

/// <summary>y = gate · σ(gate) · value in double: the contract that <see cref="SwiGlu"/> is held to.</summary>
internal static class SwiGluReference
{
    public static double[] Forward(double[] gate, double[] value) => [.. gate.Zip(value, (g, v) => g * Sigmoid(g) * v)];

    public static (double[] Dgate, double[] Dvalue) Backward(double[] gate, double[] value, double[] dy)
    {
        var dgate = new double[gate.Length];
        var dvalue = new double[gate.Length];
        for (int i = 0; i < gate.Length; i++)
        {
            double sigmoid = Sigmoid(gate[i]);
            dgate[i] = dy[i] * value[i] * sigmoid * (1 + (gate[i] * (1 - sigmoid)));
            dvalue[i] = dy[i] * gate[i] * sigmoid;
        }

        return (dgate, dvalue);
    }

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));
}
