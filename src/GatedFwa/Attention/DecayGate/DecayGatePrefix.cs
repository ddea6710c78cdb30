using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>
/// The prefix sum of α in two levels, as GPU attention reads it: chunks of 64 positions counted from the start of each row, whatever
/// documents lie in it, because only differences inside one document are ever taken. Attention's own prefix has sums that begin anew at
/// each document as well, so that a NaN stays in its own. Each sum is two floats, the second of which, what the first rounds off, lies a
/// whole array behind.
/// </summary>
/// <param name="Local">F32 [2, B, H, S]: Σ α from the start of each position's chunk up to the position itself.</param>
/// <param name="Totals">F32 [2, B, H, chunks]: Σ α of each chunk.</param>
internal sealed record DecayGatePrefix(Tensor Local, Tensor Totals) : IDisposable
{
    /// <summary>
    /// The most that a token adds to a prefix. Sums are kept to the digits of what lies before a cut, too: in 16 bits 64, which
    /// leaves 1.6e-28 of the past, spares them more than products keep; in F32 no score reaches over 10,000.
    /// </summary>
    /// <param name="activations">The type of queries and keys.</param>
    public static float MostDecay(DType activations) => activations == DType.F32 ? 1e4f : 64;

    private const int Floats = 2;

    /// <summary>Whether sums begin anew at each segment, and not only at each row's start.</summary>
    public bool KnowsSegments { get; init; }

    /// <summary>Makes room for α [batch, positions, heads]; <see cref="DecayGate"/> fills it in the pass that computes α.</summary>
    public static DecayGatePrefix Empty(int batch, int positions, int heads, Device device)
    {
        int chunks = (positions + TwoLevelPrefix.ChunkPositions - 1) / TwoLevelPrefix.ChunkPositions;
        return new(
            Tensor.Empty([Floats, batch, heads, positions], DType.F32, device),
            Tensor.Empty([Floats, batch, heads, chunks], DType.F32, device));
    }

    /// <summary>
    /// u [batch, positions, heads]: −Σ α from the start of each position's segment up to the position itself; 0 for padding.
    /// </summary>
    public float[] ToDecay(SequenceLayout layout)
    {
        (int batch, int heads, int positions, int chunks) = (Local.Shape[1], Local.Shape[2], Local.Shape[3], Totals.Shape[3]);
        double[] local = Sums(Local), totals = Sums(Totals);
        var u = new float[(long)batch * positions * heads];
        foreach (Segment segment in layout.Segments(nameof(DecayGate), batch, positions))
        {
            for (int head = 0; head < heads; head++)
            {
                int row = (segment.Batch * heads) + head;
                double before = segment.Start % TwoLevelPrefix.ChunkPositions == 0 ? 0 : -local[(row * positions) + segment.Start - 1];
                for (int t = segment.Start; t < segment.End; t++)
                {
                    if (t > segment.Start && t % TwoLevelPrefix.ChunkPositions == 0)
                        before += totals[(row * chunks) + (t / TwoLevelPrefix.ChunkPositions) - 1];
                    u[(((segment.Batch * positions) + t) * heads) + head] = (float)-(before + local[(row * positions) + t]);
                }
            }
        }

        return u;
    }

    /// <summary>The same, to go with a tape.</summary>
    public static DecayGatePrefix On(Tape tape, int batch, int positions, int heads, Device device)
    {
        DecayGatePrefix prefix = Empty(batch, positions, heads, device);
        tape.Own(prefix.Local);
        tape.Own(prefix.Totals);
        return prefix;
    }

    /// <summary>Both floats of each number in one.</summary>
    public static double[] Sums(Tensor tensor)
    {
        float[] values = tensor.ToArray();
        int count = values.Length / Floats;
        return [.. Enumerable.Range(0, count).Select(i => values[i] + (double)values[count + i])];
    }

    public void Dispose()
    {
        Local.Dispose();
        Totals.Dispose();
    }
}
