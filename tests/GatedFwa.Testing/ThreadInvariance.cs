using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Testing;

/// <summary>Results must not depend on the number of threads, down to the last bit.</summary>
public static class ThreadInvariance
{
    /// <summary>Runs with 1, 2 and 3 threads and compares the bits with those of the first run.</summary>
    public static void Check(Func<float[]> run)
    {
        int threads = WorkerPool.Shared.Threads;
        try
        {
            WorkerPool.Shared.Threads = 1;
            float[] expected = run();
            for (int count = 2; count <= 3; count++)
            {
                WorkerPool.Shared.Threads = count;
                int difference = Bits(run()).CommonPrefixLength(Bits(expected));
                if (difference < expected.Length)
                {
                    throw new InvalidOperationException(
                        $"With {count} threads element {difference} of {expected.Length} differs from that of one thread.");
                }
            }
        }
        finally
        {
            WorkerPool.Shared.Threads = threads;
        }
    }

    /// <summary>The same for a result and all gradients.</summary>
    public static void Check(Func<Differentiated> run) => Check(() =>
    {
        Differentiated result = run();
        return [.. result.Y, .. result.Gradients.SelectMany(gradient => gradient)];
    });

    private static ReadOnlySpan<uint> Bits(float[] values) => MemoryMarshal.Cast<float, uint>(values);
}
