using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>docs/operator.md, "The attention", as written, in plain loops in double: the contract of every kernel.</summary>
internal static class GatedWindowReference
{
    /// <summary>o [B, T, H, D] and lse [B, H, T].</summary>
    public static (double[] O, double[] Lse) Forward(
        double[] q, double[] k, double[] v, double[]? alpha, GatedWindowShape shape, AttentionOptions options)
    {
        var o = new double[shape.QueryCount];
        var lse = new double[shape.LseCount];
        Array.Fill(lse, double.NegativeInfinity);
        ForEachQuery(q, k, alpha, shape, options, query =>
        {
            lse[query.Lse] = query.LogSum;
            for (int n = 0; n < query.Probabilities.Length; n++)
            {
                int key = query.Key(n);
                for (int d = 0; d < shape.HeadSize; d++) o[query.Row + d] += query.Probabilities[n] * v[key + d];
            }
        });
        return (o, lse);
    }

    /// <summary>The gradients of q, k, v and α, given that of o.</summary>
    public static (double[] Dq, double[] Dk, double[] Dv, double[] Dalpha) Backward(
        double[] q, double[] k, double[] v, double[]? alpha, double[] outputGradient, GatedWindowShape shape, AttentionOptions options)
    {
        var dq = new double[shape.QueryCount];
        var dk = new double[shape.KeyCount];
        var dv = new double[shape.KeyCount];
        var dalpha = new double[alpha is null ? 0 : shape.AlphaCount];
        double scale = options.Scale ?? 1 / Math.Sqrt(shape.HeadSize);
        ForEachQuery(q, k, alpha, shape, options, query =>
        {
            double[] p = query.Probabilities, dp = new double[p.Length];
            for (int n = 0; n < p.Length; n++)
            {
                int key = query.Key(n);
                for (int d = 0; d < shape.HeadSize; d++)
                {
                    dp[n] += outputGradient[query.Row + d] * v[key + d];
                    dv[key + d] += p[n] * outputGradient[query.Row + d];
                }
            }

            double delta = p.Zip(dp, (weight, gradient) => weight * gradient).Sum();
            double scoresBefore = 0;
            for (int n = 0; n < p.Length; n++)
            {
                double ds = p[n] * (dp[n] - delta);
                int key = query.Key(n);
                for (int d = 0; d < shape.HeadSize; d++)
                {
                    dq[query.Row + d] += scale * ds * k[key + d];
                    dk[key + d] += scale * ds * q[query.Row + d];
                }

                // The decay of a position lies between the query and every key before it.
                if (alpha is not null) dalpha[query.Alpha(n)] -= scoresBefore;
                scoresBefore += ds;
            }
        });
        return (dq, dk, dv, dalpha);
    }

    private static void ForEachQuery(
        double[] q, double[] k, double[]? alpha, GatedWindowShape shape, AttentionOptions options, Action<VisibleKeys> act)
    {
        double scale = options.Scale ?? 1 / Math.Sqrt(shape.HeadSize);
        foreach (Segment segment in options.Layout.Segments("The reference", shape.Batch, shape.Positions))
        {
            for (int i = Math.Max(segment.Start, shape.Positions - shape.Tokens); i < segment.End; i++)
            {
                int first = options.Window is { } window ? (int)Math.Max(segment.Start, (long)i - window + 1) : segment.Start;
                for (int head = 0; head < shape.Heads; head++)
                    act(new VisibleKeys(q, k, alpha, shape, scale, segment.Batch, head, i, first));
            }
        }
    }

    /// <summary>What one query sees: keys First … i, in order.</summary>
    private sealed class VisibleKeys
    {
        private readonly GatedWindowShape _shape;
        private readonly int _batch, _head, _first;

        public VisibleKeys(
            double[] q, double[] k, double[]? alpha, GatedWindowShape shape, double scale, int batch, int head, int i, int first)
        {
            (_shape, _batch, _head, _first) = (shape, batch, head, first);
            int token = i - (shape.Positions - shape.Tokens);
            Row = ((((batch * shape.Tokens) + token) * shape.Heads) + head) * shape.HeadSize;
            Lse = (((batch * shape.Heads) + head) * shape.Tokens) + token;
            var scores = new double[i - first + 1];
            double decay = 0;
            for (int n = scores.Length - 1; n >= 0; n--)
            {
                double dot = 0;
                int key = Key(n);
                for (int d = 0; d < shape.HeadSize; d++) dot += q[Row + d] * k[key + d];
                scores[n] = (scale * dot) - decay;
                if (alpha is not null) decay += alpha[Alpha(n)];
            }

            double max = scores.Max();
            LogSum = max + Math.Log(scores.Sum(score => Math.Exp(score - max)));
            Probabilities = [.. scores.Select(score => Math.Exp(score - LogSum))];
        }

        public double[] Probabilities { get; }

        public double LogSum { get; }

        /// <summary>Where the query's row begins in q and o.</summary>
        public int Row { get; }

        /// <summary>Where it lies in lse.</summary>
        public int Lse { get; }

        /// <summary>Where the n-th key's row begins in k and v.</summary>
        public int Key(int n) =>
            ((((_batch * _shape.Positions) + _first + n) * _shape.KeyHeads) + (_head * _shape.KeyHeads / _shape.Heads)) * _shape.HeadSize;

        /// <summary>Where the decay at the n-th key's position lies.</summary>
        public int Alpha(int n) => (((_batch * _shape.Positions) + _first + n) * _shape.Heads) + _head;
    }
}
