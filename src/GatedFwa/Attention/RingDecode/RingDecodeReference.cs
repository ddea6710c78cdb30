namespace GatedFwa.Attention;

/// <summary>One query over the keys in its window in double: the contract that <see cref="RingDecode"/> is held to.</summary>
internal static class RingDecodeReference
{
    /// <param name="q">[H, D].</param>
    /// <param name="k">[S, Hkv, D], oldest first; the last is the query's own.</param>
    /// <param name="v">[S, Hkv, D].</param>
    /// <param name="alpha">[S, H], or none.</param>
    /// <param name="heads">H.</param>
    /// <param name="keyHeads">Hkv.</param>
    /// <param name="scale">The factor of q·k.</param>
    /// <returns>[H, D].</returns>
    public static double[] Forward(double[] q, double[] k, double[] v, double[]? alpha, int heads, int keyHeads, double scale)
    {
        int size = q.Length / heads, positions = k.Length / (keyHeads * size);
        var o = new double[q.Length];
        for (int head = 0; head < heads; head++)
        {
            int keyHead = head * keyHeads / heads;
            var score = new double[positions];
            double decay = 0;
            for (int j = positions - 1; j >= 0; j--)
            {
                for (int d = 0; d < size; d++) score[j] += scale * q[(head * size) + d] * k[(((j * keyHeads) + keyHead) * size) + d];
                score[j] -= decay;
                decay += alpha?[(j * heads) + head] ?? 0;
            }

            double highest = score.Max(), sum = score.Sum(s => Math.Exp(s - highest));
            for (int j = 0; j < positions; j++)
            {
                double weight = Math.Exp(score[j] - highest) / sum;
                for (int d = 0; d < size; d++) o[(head * size) + d] += weight * v[(((j * keyHeads) + keyHead) * size) + d];
            }
        }

        return o;
    }
}
