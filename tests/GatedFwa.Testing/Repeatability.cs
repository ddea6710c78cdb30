using System.Runtime.InteropServices;

namespace GatedFwa.Testing;

/// <summary>The same inputs give the same results, down to the last bit.</summary>
public static class Repeatability
{
    /// <summary>Runs twice and compares the bits.</summary>
    public static void Check(Func<Differentiated> run)
    {
        Differentiated first = run(), second = run();
        Compare("the result", first.Y, second.Y);
        for (int i = 0; i < first.Gradients.Length; i++) Compare($"gradient {i}", first.Gradients[i], second.Gradients[i]);
    }

    private static void Compare(string what, float[] first, float[] second)
    {
        int difference = Bits(first).CommonPrefixLength(Bits(second));
        if (difference < first.Length)
            throw new InvalidOperationException($"A second run gives other bits: element {difference} of {first.Length} of {what} differs.");
    }

    private static ReadOnlySpan<uint> Bits(float[] values) => MemoryMarshal.Cast<float, uint>(values);
}
