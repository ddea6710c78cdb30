namespace GatedFwa.Attention;

/// <summary>
/// The gate in double, one token and head at a time (docs/operator.md, "The gate"): the contract that <see cref="DecayGate"/> is held to.
/// </summary>
/// <param name="X">[N, C], N tokens in all.</param>
/// <param name="GateWeight">[H, C].</param>
/// <param name="GateBias">[H].</param>
/// <param name="AmplitudeWeight">[H, C].</param>
/// <param name="Epsilon">ε.</param>
internal sealed record DecayGateReference(double[] X, double[] GateWeight, double[] GateBias, double[] AmplitudeWeight, double Epsilon)
{
    private int Heads => GateBias.Length;

    private int Width => GateWeight.Length / Heads;

    private int Tokens => X.Length / Width;

    /// <summary>α [N, H].</summary>
    public double[] Forward()
    {
        var alpha = new double[Tokens * Heads];
        for (int i = 0; i < alpha.Length; i++)
        {
            (double h, double a) = Project(i);
            double beta = Beta(a);
            alpha[i] = Softplus(-beta * h) / (beta + Epsilon);
        }

        return alpha;
    }

    public (double[] Dx, double[] DgateWeight, double[] DgateBias, double[] DamplitudeWeight) Backward(double[] dalpha)
    {
        var dx = new double[X.Length];
        var dgateWeight = new double[GateWeight.Length];
        var dgateBias = new double[Heads];
        var damplitudeWeight = new double[GateWeight.Length];
        for (int i = 0; i < dalpha.Length; i++)
        {
            (double h, double a) = Project(i);
            double beta = Beta(a), sigmoid = 1 / (1 + Math.Exp(beta * h));
            double dh = -dalpha[i] * beta / (beta + Epsilon) * sigmoid;
            double dbeta = -dalpha[i] * ((h * sigmoid / (beta + Epsilon)) + (Softplus(-beta * h) / ((beta + Epsilon) * (beta + Epsilon))));
            double da = dbeta * (a > 0 ? 1 : Math.Exp(a));
            int token = i / Heads * Width, head = i % Heads * Width;
            dgateBias[i % Heads] += dh;
            for (int c = 0; c < Width; c++)
            {
                dx[token + c] += (dh * GateWeight[head + c]) + (da * AmplitudeWeight[head + c]);
                dgateWeight[head + c] += dh * X[token + c];
                damplitudeWeight[head + c] += da * X[token + c];
            }
        }

        return (dx, dgateWeight, dgateBias, damplitudeWeight);
    }

    /// <summary>h and the amplitude's pre-activation of element i of α.</summary>
    private (double H, double A) Project(int i)
    {
        int token = i / Heads * Width, head = i % Heads * Width;
        double h = GateBias[i % Heads], a = 0;
        for (int c = 0; c < Width; c++)
        {
            h += X[token + c] * GateWeight[head + c];
            a += X[token + c] * AmplitudeWeight[head + c];
        }

        return (h, a);
    }

    /// <summary>1 + ELU(a).</summary>
    private static double Beta(double a) => a > 0 ? 1 + a : Math.Exp(a);

    private static double Softplus(double x) => Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x)));
}
