namespace GatedFwa.Tensors.Operations;

/// <summary>Mean −log softmax(x Wᵀ)[target] in double: the contract that <see cref="LinearCrossEntropy"/> is held to.</summary>
internal static class LinearCrossEntropyReference
{
    /// <summary>From x [tokens, width] and weight [vocabulary, width] to the mean loss and each token's own (0 where ignored).</summary>
    public static (double Loss, double[] PerToken) Forward(double[] x, double[] weight, int[] targets, int vocabulary, int width)
    {
        var perToken = new double[targets.Length];
        for (int token = 0; token < targets.Length; token++)
        {
            if (targets[token] >= 0) perToken[token] = -Math.Log(Softmax(x, weight, token, vocabulary, width)[targets[token]]);
        }

        return (perToken.Sum() / Math.Max(1, targets.Count(target => target >= 0)), perToken);
    }

    public static (double[] Dx, double[] Dweight) Backward(
        double[] x, double[] weight, int[] targets, double dloss, int vocabulary, int width)
    {
        double[] dx = new double[x.Length], dweight = new double[weight.Length];
        int counted = targets.Count(target => target >= 0);
        for (int token = 0; token < targets.Length; token++)
        {
            if (targets[token] < 0) continue;
            double[] p = Softmax(x, weight, token, vocabulary, width);
            for (int v = 0; v < vocabulary; v++)
            {
                double dlogit = (p[v] - (v == targets[token] ? 1 : 0)) * dloss / counted;
                for (int i = 0; i < width; i++)
                {
                    dx[(token * width) + i] += dlogit * weight[(v * width) + i];
                    dweight[(v * width) + i] += dlogit * x[(token * width) + i];
                }
            }
        }

        return (dx, dweight);
    }

    private static double[] Softmax(double[] x, double[] weight, int token, int vocabulary, int width)
    {
        var p = new double[vocabulary];
        for (int v = 0; v < vocabulary; v++)
        {
            for (int i = 0; i < width; i++) p[v] += x[(token * width) + i] * weight[(v * width) + i];
        }

        double largest = p.Max();
        for (int v = 0; v < vocabulary; v++) p[v] = Math.Exp(p[v] - largest);
        double sum = p.Sum();
        for (int v = 0; v < vocabulary; v++) p[v] /= sum;
        return p;
    }
}
